import { handle } from 'ballermann/replica';

handle(({ n }) => ({ square: n * n, primary: process.ppid }));
