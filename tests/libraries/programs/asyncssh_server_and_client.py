import asyncio

import asyncssh


class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True

    def validate_password(self, username, password):
        return password == "pw"


async def handle(process):
    process.stdout.write("ran " + process.command)
    process.exit(4)


async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(Server, "127.0.0.1", 8022, server_host_keys=[key], process_factory=handle)
    async with asyncssh.connect("127.0.0.1", 8022, username="user", password="pw", known_hosts=None) as client:
        answer = await client.run("ls")
        print(answer.stdout, answer.exit_status)
    server.close()


asyncio.run(main())
