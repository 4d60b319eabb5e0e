/** The replica that times its own subjects; its fellows are only there to be handed out. */

import { handle } from 'ballermann/replica';
import { here, type Order, obey, type Place } from './place.js';
import { commonSubjects } from './subjects.js';

let place: Place | undefined; // the pools are made after the replica is ready

handle((order: Order) => {
  place ??= here('replica', commonSubjects());
  return obey(place, order);
});
