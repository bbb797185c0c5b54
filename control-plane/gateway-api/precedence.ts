/** Which of several HTTP rules is asked first (HTTPRouteRule.matches of the Gateway API). */
import type { HttpMatch, HttpRule } from "../translate/spec/virtual-service.ts";

/**
 * Exact before prefix before regular expression, longer before shorter, with a method, more headers, more query
 * parameters; what is equal keeps its order. Rules without a match come last.
 */
export function byPrecedence(rules: readonly HttpRule[]): readonly HttpRule[] {
  return rules.toSorted((one, other) => {
    const [a, b] = [one.match?.[0], other.match?.[0]];
    if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined);
    return (
      rank(b) - rank(a) ||
      pathLength(b) - pathLength(a) ||
      Number(b.method !== undefined) - Number(a.method !== undefined) ||
      size(b.headers) - size(a.headers) ||
      size(b.queryParams) - size(a.queryParams)
    );
  });
}

function rank({ uri }: HttpMatch): number {
  if (uri?.exact !== undefined) return 3;
  if (uri?.prefix !== undefined) return 2;
  return uri?.regex === undefined ? 0 : 1;
}

function pathLength({ uri }: HttpMatch): number {
  return (uri?.exact ?? uri?.prefix ?? uri?.regex ?? "").length;
}

function size(fields: object | undefined): number {
  return fields === undefined ? 0 : Object.keys(fields).length;
}
