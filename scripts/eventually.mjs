import { setTimeout as sleep } from 'node:timers/promises';

/** Repeats `look` until it returns something, for at most a minute. */
export const eventually = async (what, look) => {
  for (let tries = 0; tries < 600; tries += 1) {
    const found = await look();
    if (found) return found;
    await sleep(100);
  }
  throw new Error(`${what} did not happen`);
};
