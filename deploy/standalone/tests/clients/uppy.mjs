// Uploads a file with Uppy's XHR upload, in a page that a web application serves: bundled for browsers by the test.
import Uppy from '@uppy/core'
import XHRUpload from '@uppy/xhr-upload'

// Resolves to the results of uploads of one file, and of a download of its end.
globalThis.upload = async (base, token) => {
  const headers = { authorization: `Bearer ${token}` }
  const results = []
  for (const [key, options, meta] of [
    ['form', { fieldName: 'media' }, {}],
    ['defaults', {}, {}],
    ['public', { fieldName: 'media', allowedMetaFields: true }, { public: true }],
    ['put', { method: 'PUT', formData: false }, {}],
    ['bundled', { bundle: true, fieldName: 'media' }, {}]
  ]) {
    const endpoint = `${base}/medias/files/uppy/${key}`
    const uppy = new Uppy({ meta }).use(XHRUpload, { endpoint, headers, ...options })
    let progress = 0
    uppy.on('upload-progress', (file, { bytesUploaded }) => { progress = bytesUploaded })
    const data = new Blob([new Uint8Array(300000).fill(7)], { type: 'image/x-test' })
    uppy.addFile({ name: 'é "1".bin', type: data.type, data, meta: { relativePath: 'dir/é.bin' } })
    const { successful = [], failed = [] } = await uppy.upload()
    results.push({
      key,
      progress,
      uploaded: successful.map(({ response }) => ({ status: response.status, body: response.body })),
      failed: failed.map(({ error, response }) => ({ error, response }))
    })
  }
  const answer = await fetch(`${base}/medias/files/uppy/form`, { headers: { ...headers, Range: 'bytes=-100' } })
  results.push({ key: 'range', status: answer.status, bytes: (await answer.arrayBuffer()).byteLength })
  return results
}
