// Uses the service through kitsu, unmodified: node kitsu.mjs BASE_URL ORIGIN_URL
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import Kitsu from 'kitsu'

const [base, origin] = process.argv.slice(2)
assert(base && origin, 'usage: node kitsu.mjs BASE_URL ORIGIN_URL')

// No proxy from the environment: both ends are on this machine.
const api = new Kitsu({
  baseURL: base.replace(/\/+$/, ''),
  camelCaseTypes: false,
  pluralize: false,
  resourceCase: 'none',
  axiosOptions: { proxy: false }
})

const resource = `kitsu-${process.pid}-${Date.now()}`
const url = `${origin.replace(/\/+$/, '')}/file`

// kitsu uses the type as the path of `post`; here they differ, so both are given.
const enter = key => api.request({
  method: 'POST',
  url: 'jobs',
  type: 'media:jobs',
  body: { job_class: 'media:import', arguments: { url, resource, key } }
})

async function end (id) {
  for (const until = Date.now() + 30000; Date.now() < until; await sleep(50)) {
    const { data } = await api.get(`jobs/${id}`)
    if (['succeeded', 'failed', 'cancelled'].includes(data.status)) return data
  }
  assert.fail(`the job ${id} did not end`)
}

const follow = link => api.request({ url: link, method: 'GET' })

// Create, and follow until succeeded.
const ids = []
for (const key of ['a', 'b', 'c']) {
  const { data, status, headers } = await enter(key)
  assert.equal(status, 201)
  assert.equal(data.type, 'media:jobs')
  assert.equal(data.job_class, 'media:import')
  assert.equal(data.arguments.key, key)
  assert.equal(headers.location, data.links.self)
  const ended = await end(data.id)
  assert.equal(ended.status, 'succeeded', ended.error_detail)
  assert.equal(ended.progress, 100)
  ids.push(data.id)
}

// List: filtered by status, sorted, a page at a time.
const listed = []
let page = await api.get('jobs', {
  params: {
    filter: { status: 'succeeded', created_at__gte: (await api.get(`jobs/${ids[0]}`)).data.created_at },
    sort: '-created_at',
    page: { size: 2 },
    count: true
  }
})
assert(page.meta.count >= 3)
for (;;) {
  assert(page.data.length <= 2)
  listed.push(...page.data)
  if (!page.links.next) break
  assert.equal(page.data.length, 2)
  page = await follow(page.links.next)
}
assert.equal(new Set(listed.map(job => job.id)).size, listed.length)
assert(listed.every(job => job.status === 'succeeded'))
assert.deepEqual(listed.map(job => job.created_at), listed.map(job => job.created_at).sort().reverse())
assert.deepEqual(listed.map(job => job.id).filter(id => ids.includes(id)), [...ids].reverse())
const none = await api.get('jobs', { params: { filter: { id__in: ids.join(), status: 'failed' } } })
assert.deepEqual(none.data, [])

// A job with the media it made.
const { data: job } = await api.get(`jobs/${ids[0]}`, { params: { include: 'media' } })
const media = job.media.data
assert.equal(media.type, 'media:medias')
assert.equal(media.resource, resource)
assert.equal(media.key, 'a')
assert.equal(media.source_url, url)

// Medias with sparse fields; a record.
const sparse = await api.get('medias', {
  params: { filter: { resource }, sort: '-key', fields: { 'media:medias': 'key,size' } }
})
assert.deepEqual(sparse.data.map(({ key, size }) => [key, size]), ['c', 'b', 'a'].map(key => [key, media.size]))
for (const item of sparse.data) {
  assert.deepEqual(Object.keys(item).sort(), ['id', 'key', 'links', 'size', 'type'])
}
const record = await api.get(`medias/info/${resource}/a`)
assert.equal(record.data.id, media.id)
assert.equal(record.data.sha256, media.sha256)

// Change a scheduled job, cancel it, delete it.
const later = await api.request({
  method: 'POST',
  url: 'jobs',
  type: 'media:jobs',
  body: {
    job_class: 'media:import',
    scheduled_at: new Date(Date.now() + 3600000).toISOString(),
    arguments: { url, resource, key: 'd' }
  }
})
assert.equal(later.data.status, 'scheduled')
const path = `jobs/${later.data.id}`
const changed = await api.request({
  method: 'PATCH', url: path, type: 'media:jobs', body: { id: later.data.id, priority: 7 }
})
assert.equal(changed.data.priority, 7)
await api.request({
  method: 'POST', url: `${path}/signal`, type: 'media:signals', body: { signal: 'cancel' }
})
assert.equal((await end(later.data.id)).status, 'cancelled')
await api.delete('jobs', later.data.id)

// Errors come as kitsu expects them.
await assert.rejects(api.get(path), error => {
  assert.equal(error.response.status, 404)
  assert.equal(error.errors[0].status, '404')
  return true
})
await assert.rejects(api.get('jobs', { params: { sort: 'nonsense' } }), error => {
  assert.equal(error.response.status, 400)
  assert.equal(error.errors[0].source.parameter, 'sort')
  return true
})

console.log(`kitsu: ${ids.length} imports, ${listed.length} jobs listed`)
