/**
 * A Socket.IO server as any other, long polling allowed: tells who answers, and echoes. A poll is a request that runs until
 * there is something to tell, and a window or a reload waits for it: `pingInterval`, or `pingTimeout` where the client has
 * not answered the last ping. 25 s and 20 s by default; here less than `shutdown`. The time limit of a ping has to be longer
 * than a window, which holds the answer.
 */

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const { PORT = '8000' } = process.env;
const server = createServer();
const io = new Server(server, { pingInterval: 1000, pingTimeout: 3000 });

io.on('connection', (socket) => {
  socket.on('echo', (text, reply) => reply({ pid: process.pid, text }));
});

server.listen(Number(PORT), '127.0.0.1');
