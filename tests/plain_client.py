"""Any MQTT client, as a shop's devices have."""

import paho.mqtt.client as paho


class PlainClient(paho.Client):
    """paho, which leaves two sockets of its own to the garbage collector unless it is told to release them."""

    def leave(self) -> None:
        """Say goodbye and release everything."""
        self.disconnect()
        self.loop_stop()
        self._reset_sockets()
