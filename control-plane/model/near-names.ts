/** What somebody may have meant. */

/** The allowed names nearest to `written`, best first; empty when none is near. */
export function nearestNames(written: string, allowed: Iterable<string>, limit = 3): readonly string[] {
  const target = written.toLowerCase();
  return [...allowed]
    .map((name) => ({ name, distance: distanceBetween(target, name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= Math.max(1, Math.floor(Math.max(name.length, target.length) / 3)))
    .sort((one, other) => one.distance - other.distance || (one.name < other.name ? -1 : 1))
    .slice(0, limit)
    .map(({ name }) => name);
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
