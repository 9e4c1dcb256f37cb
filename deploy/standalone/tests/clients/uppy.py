"""Opens a page in a browser and uploads with Uppy from there: uppy.py PAGE BASE TOKEN. Prints the results as JSON."""

import asyncio
import json
import sys

from browser import chromium


async def main(page, base, token):
    async with chromium() as browser, browser.tab() as tab:
        await tab.call("Page.navigate", url=page)
        for _ in range(100):
            await asyncio.sleep(0.1)
            answer = await tab.call("Runtime.evaluate", expression="typeof globalThis.upload")
            if answer["result"].get("value") == "function":
                break
        answer = await tab.call(
            "Runtime.evaluate", expression=f"upload({json.dumps(base)}, {json.dumps(token)})", awaitPromise=True, returnByValue=True
        )
    print(json.dumps(answer["result"].get("value", answer)))


asyncio.run(main(*sys.argv[1:]))
