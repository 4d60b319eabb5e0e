import { handle } from 'ballermann/replica';

handle(([a, b]) => ({ sum: a + b, pid: process.pid }));
