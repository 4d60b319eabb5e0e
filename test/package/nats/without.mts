import { balance, supervise } from 'ballermann';
import { handle } from 'ballermann/replica';

const answer = handle((n: number) => n + 1);
const supervisor = await supervise({ exec: 'replica.mjs', replicas: 1 });
const pool = await balance<typeof answer>(supervisor, 'work');
const sum: number = await pool.call(1);
console.log(sum);
