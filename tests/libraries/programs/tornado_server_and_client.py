import asyncio

import tornado.httpclient
import tornado.web


class Main(tornado.web.RequestHandler):
    def get(self):
        self.write({"path": self.request.path})


async def main():
    server = tornado.web.Application([("/.*", Main)]).listen(8888, "127.0.0.1")
    print((await tornado.httpclient.AsyncHTTPClient().fetch("http://127.0.0.1:8888/z")).body)
    server.stop()


asyncio.run(main())
