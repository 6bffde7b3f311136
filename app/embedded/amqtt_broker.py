"""`python -m app.embedded.amqtt_broker PORT`: a small MQTT 3.1.1 broker on 127.0.0.1, until SIGTERM or SIGINT."""

import asyncio
import logging
import signal
import sys

from app.embedded.ports import LOOPBACK


async def serve(port: int) -> None:
    """Run the broker until the process is asked to stop."""
    from amqtt.broker import Broker  # only the child process needs it

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(int(sys.argv[1])))
