"""Mistakes that a type checker has to find: each on a line that ends in `# wrong`, and on no other."""

import ota
from ota import HttpTransport, Transport, Updater, Watch, ota_update
from ota import HttpTransprt  # wrong
from ota.errors import HashErorr  # wrong

ota.bot()  # wrong
ota.confrim()  # wrong
ota.launch("application", watch_dog=8000)  # wrong
print(ota.status()["verison"])  # wrong
print(ota.boot().strip())  # wrong

transport = HttpTransport("http://192.168.2.100/sample", pasword="secret")  # wrong
HttpTransport(host="http://192.168.2.100/sample")  # wrong
transport.retrys = 1  # wrong

updater = Updater(transport, chanel="beta")  # wrong
Updater(transport, layout="suffix")  # wrong
Updater(80)  # wrong
updater.rum()  # wrong
updater.run(restart=False)  # wrong
updater.stage("v1.0.1")  # wrong
print(updater.check().version)  # wrong
Watch(transport)  # wrong
ota_update("http://192.168.2.100", "sample")  # wrong


class Mine(Transport):
    def _open(self, name: str) -> bytes:  # wrong
        return b""
