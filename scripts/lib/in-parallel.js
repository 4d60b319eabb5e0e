/** Work for many items, some at a time. */

/** Does `work` for each item, `jobs` at a time; the results in the order of the items. */
export async function inParallel(jobs, items, work) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await work(items[index]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(jobs, items.length) }, worker));
  return results;
}
