const express = require('express');

const app = express();
app.get('/', (_request, response) => response.send(`hello from ${process.pid}\n`));
const server = app.listen(0, '127.0.0.1', () => console.log(`port ${server.address().port}`));
