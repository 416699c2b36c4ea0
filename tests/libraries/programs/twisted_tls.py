from pathlib import Path

from twisted.internet import endpoints, protocol, reactor, ssl
from twisted.protocols.basic import LineReceiver

CERTIFICATES = Path(__file__).parents[2] / "runtime" / "certificates"


class Reverse(LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line[::-1])


class StartsTls(LineReceiver):
    def lineReceived(self, line):
        self.sendLine(b"go ahead")
        self.transport.startTLS(certificate.options())
        self.lineReceived = lambda line: self.sendLine(b"secret " + line)


class Client(LineReceiver):
    def connectionMade(self):
        self.sendLine(b"hello")

    def lineReceived(self, line):
        print(line)
        if line == b"go ahead":
            self.transport.startTLS(trusting)
            self.sendLine(b"word")
        else:
            self.transport.loseConnection()

    def connectionLost(self, reason):
        print(reason.type.__name__)
        steps.pop(0)()


certificate = ssl.PrivateCertificate.loadPEM((CERTIFICATES / "localhost.pem").read_bytes())
authority = ssl.Certificate.loadPEM((CERTIFICATES / "ca.pem").read_bytes())
trusting = ssl.optionsForClientTLS("localhost", trustRoot=authority)
clients = protocol.Factory.forProtocol(Client)
server = endpoints.SSL4ServerEndpoint(reactor, 8007, certificate.options(), interface="127.0.0.1")
server.listen(protocol.Factory.forProtocol(Reverse))
endpoints.TCP4ServerEndpoint(reactor, 8008, interface="127.0.0.1").listen(protocol.Factory.forProtocol(StartsTls))


def wrapped(options):
    plain = endpoints.clientFromString(reactor, "tcp:localhost:8007")
    endpoints.wrapClientTLS(options, plain).connect(clients)


steps = [
    lambda: wrapped(ssl.optionsForClientTLS("localhost")),
    lambda: endpoints.clientFromString(reactor, "tcp:localhost:8008").connect(clients),
    reactor.stop,
]
wrapped(trusting)
reactor.run()
