import { handle, index } from 'ballermann/replica';

handle((message) => {
  const [a, b] = message as [number, number];
  const number: number = index;
  return { sum: a + b, pid: process.pid, number };
});
