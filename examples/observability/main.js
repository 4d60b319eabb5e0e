// Serves http://127.0.0.1:8080 from two replicas, and the figures of all that at http://127.0.0.1:9091/metrics.
import { createServer } from 'node:http';
import { balance, supervise } from 'ballermann';
import { collect } from 'ballermann/prometheus';
import client from 'prom-client';

const supervisor = await supervise({
  exec: new URL('server.js', import.meta.url),
  replicas: 2,
  name: 'shop',
});
const squares = await balance(supervisor, 'squares');
setInterval(() => squares.call({ n: 7 }).catch(() => {}), 20).unref();

const register = new client.Registry();
client.collectDefaultMetrics({ register }); // of the primary itself
collect(client, { register });

createServer(async (_request, response) => {
  response.setHeader('content-type', register.contentType);
  response.end(await register.metrics());
})
  .listen(9091, '127.0.0.1')
  .unref();
