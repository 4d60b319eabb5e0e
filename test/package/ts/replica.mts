import { handle, index } from 'ballermann/replica';

export const answer = handle(([a, b]: [number, number]) => {
  const number: number = index;
  return { sum: a + b, pid: process.pid, number };
});
