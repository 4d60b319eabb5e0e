/** The task of all: an echo. */

import { handle } from 'ballermann/replica';

handle((message) => message);
