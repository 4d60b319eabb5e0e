// An HTTP server, and a handler of calls. It knows nothing of metrics.
import { createServer } from 'node:http';
import { handle } from 'ballermann/replica';

handle(({ n }) => n * n);

createServer((_request, response) => response.end('hello\n')).listen(8080);
