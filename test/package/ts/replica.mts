import { handle } from 'ballermann/replica';

handle((message) => {
  const [a, b] = message as [number, number];
  return { sum: a + b, pid: process.pid };
});
