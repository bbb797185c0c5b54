/** What somebody may have meant. */

/** The allowed names nearest to `written`; empty when none is near. */
export function nearestNames(written: string, allowed: Iterable<string>): readonly string[] {
  // Nobody meant a word of a page.
  if (written.length > 200) return [];
  const target = written.toLowerCase();
  const near = [...allowed]
    .map((name) => ({ name, distance: distanceOf(target, name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(Math.max(name.length, target.length) / 3)));
  const best = Math.min(...near.map(({ distance }) => distance));
  const names = near.filter(({ distance }) => distance === best).map(({ name }) => name);
  return names.sort();
}

function distanceOf(one: string, other: string): number {
  if (one.length >= 3 && (other.startsWith(one) || one.startsWith(other))) return 1;
  const distance = distanceBetween(one, other);
  // `retry` for `retries`: words that begin alike are near.
  return one.slice(0, 4) === other.slice(0, 4) ? Math.min(distance, 2) : distance;
}

/** `did you mean timeout?`, or the list of what is allowed. */
export function meantOrAllowed(written: string, allowed: Iterable<string>): string {
  const names = [...allowed].sort();
  const near = nearestNames(written, names);
  if (near.length > 0) return `did you mean ${near.join(" or ")}?`;
  return names.length === 0 ? "nothing is allowed here." : `allowed are ${names.join(", ")}.`;
}

/** Damerau-Levenshtein (adjacent swaps count one). */
function distanceBetween(one: string, other: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= other.length; column += 1) {
      const cost = one[row - 1] === other[column - 1] ? 0 : 1;
      let best = Math.min(
        (previous[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (previous[column - 1] ?? 0) + cost,
      );
      const isSwap = row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      if (isSwap) best = Math.min(best, (before[column - 2] ?? 0) + 1);
      current.push(best);
    }
    before = previous;
    previous = current;
  }
  return previous[other.length] ?? 0;
}
