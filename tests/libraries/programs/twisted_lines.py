from twisted.internet import endpoints, protocol, reactor
from twisted.protocols.basic import LineReceiver


class Reverse(LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line[::-1])


class Client(LineReceiver):
    def connectionMade(self):
        self.sendLine(b"hello")

    def lineReceived(self, line):
        print(line)
        self.transport.loseConnection()

    def connectionLost(self, reason):
        print(reason.type.__name__)
        reactor.stop()


server = endpoints.serverFromString(reactor, "tcp:8007:interface=127.0.0.1")
server.listen(protocol.Factory.forProtocol(Reverse))
client = endpoints.clientFromString(reactor, "tcp:127.0.0.1:8007")
client.connect(protocol.Factory.forProtocol(Client))
reactor.run()
