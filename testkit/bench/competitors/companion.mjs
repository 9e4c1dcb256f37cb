// Imports a URL repeatedly and concurrently through a running Companion, as its clients do: a request, then a
// socket that starts the upload and reports its end. Fails with the first import that fails.
//
//   node companion.mjs http://127.0.0.1:3020 http://origin/file 2000 16

import { createRequire } from 'node:module'
import { join } from 'node:path'

const { WebSocket } = createRequire(join(process.cwd(), 'package.json'))('ws')
const [base, url, count, atOnce] = process.argv.slice(2)

async function importOne(number) {
  const answer = await fetch(`${base}/url/get`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      url,
      fileId: `file-${number}`,
      protocol: 's3-multipart',
      metadata: { name: `file-${number}`, type: 'application/octet-stream' },
    }),
  })
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`)
  const { token } = await answer.json()
  await new Promise((resolve, reject) => {
    const socket = new WebSocket(`${base.replace('http', 'ws')}/api/${token}`)
    socket.on('error', reject)
    socket.on('message', (text) => {
      const { action, payload } = JSON.parse(text)
      if (action === 'success') {
        socket.close()
        resolve()
      } else if (action === 'error') {
        reject(new Error(JSON.stringify(payload)))
      }
    })
  })
}

let next = 0
async function work() {
  while (next < Number(count)) await importOne(next++)
}

await Promise.all(Array.from({ length: Number(atOnce) }, work))
