import socket
import threading

import paramiko

key = paramiko.ECDSAKey.generate()


class Server(paramiko.ServerInterface):
    def check_auth_password(self, username, password):
        return paramiko.AUTH_SUCCESSFUL if password == "pw" else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, number):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        def work():
            channel.send(b"ran " + command)
            channel.send_exit_status(3)
            channel.close()

        threading.Timer(0.1, work).start()
        return True


listener = socket.create_server(("127.0.0.1", 2222))


def serve():
    transport = paramiko.Transport(listener.accept()[0])
    transport.add_server_key(key)
    transport.start_server(server=Server())
    transport.join(60)


threading.Thread(target=serve, daemon=True).start()
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect("127.0.0.1", 2222, "user", "pw", allow_agent=False, look_for_keys=False)
_, output, _ = client.exec_command("ls")
print(output.read(), output.channel.recv_exit_status())
client.close()
