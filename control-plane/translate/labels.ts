/** Label selectors. */

export type Labels = Readonly<Record<string, string>>;

/** Every pair of `selector` is among `labels`; an empty or absent selector selects all. */
export function selects(selector: Labels | undefined, labels: Labels): boolean {
  for (const [key, value] of Object.entries(selector ?? {})) {
    if (labels[key] !== String(value)) return false;
  }
  return true;
}

export function isEmptySelector(selector: Labels | undefined): boolean {
  return selector === undefined || Object.keys(selector).length === 0;
}
