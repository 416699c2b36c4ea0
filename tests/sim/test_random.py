"""Named streams of a seed."""

from portside.sim.random import Streams


def test_a_draw_from_one_stream_does_not_move_another():
    alone = Streams(1).stream("loss")
    expected = [alone.random() for _ in range(5)]
    streams = Streams(1)
    drawn = []
    for _ in range(5):
        streams.stream("ports").random()
        drawn.append(streams.stream("loss").random())
    assert drawn == expected


def test_streams_differ_by_name_and_by_seed():
    draws = {Streams(seed).stream(name).random() for seed in (1, 2) for name in ("a", "b", "")}
    assert len(draws) == 6


def test_a_stream_is_the_same_on_every_machine():
    """Fixed numbers: who changes how streams are made changes every recorded run."""
    assert Streams(0).stream("loss").getrandbits(32) == 1480253462
