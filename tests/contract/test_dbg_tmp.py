from tests.contract.test_broker import *
async def test_dbg(own_mosquitto, topic):
    states = States()
    async with device(own_mosquitto) as listener:
        await listener.subscribe(topic)
        async with linked(access_to(own_mosquitto), f"{topic}/focus", status_topic=topic) as link:
            print(await listener.next_status())
            print(link._connection._window, link._connection._max_packet_bytes)
            fs = [link.publish(OutboundMessage(f"{topic}/p", b"%d" % n, {})) for n in range(5000)]
        await asyncio.gather(*fs, return_exceptions=True)
        try: print(await listener.next_status())
        except TimeoutError: print("NO OFFLINE")
async def test_big(own_mosquitto, topic):
        async with linked(access_to(own_mosquitto), f"{topic}/focus", status_topic=topic) as link:
            try: await done(link.publish(OutboundMessage(f"{topic}/p", bytes(17*1024*1024), {})))
            except Exception as e: print(repr(e))
            await done(link.publish(OutboundMessage(f"{topic}/p", b"", {})))
