/** A WebSocket server as any other: answers each message with the pid of its process and the message. */

import { WebSocketServer } from 'ws';

const { PORT = '8000' } = process.env;
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(PORT) });

server.on('connection', (socket) => {
  socket.on('message', (text) => socket.send(`${process.pid} ${text}`));
});
