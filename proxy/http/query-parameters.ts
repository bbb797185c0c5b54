/** Query parameters as Envoy's `QueryParamsMulti` reads and writes them, decoded; one byte a character. */

/** First value of a parameter; undefined: it is not there. */
export function queryParameterOf(path: string, name: string): string | undefined {
  return parametersOf(path).find(([key]) => key === name)?.[1];
}

export function withoutQueryParameter(path: string, name: string): string {
  return writePath(
    path,
    parametersOf(path).filter(([key]) => key !== name),
  );
}

/** With `set` in the place of what had those names, and then without `removed`. */
export function withQueryParameters(
  path: string,
  set: readonly (readonly [string, string])[],
  removed: readonly string[],
): string {
  const names = new Map(set);
  const all = [...parametersOf(path).filter(([key]) => !names.has(key)), ...names];
  return writePath(
    path,
    all.filter(([key]) => !removed.includes(key)),
  );
}

type Parameter = readonly [name: string, value: string];

function parametersOf(path: string): readonly Parameter[] {
  const start = path.indexOf("?");
  if (start < 0) return [];
  const parts = path.slice(start + 1).split("&");
  return parts
    .filter((part) => part !== "")
    .map((part): Parameter => {
      const equals = part.indexOf("=");
      return equals < 0 ? [decode(part), ""] : [decode(part.slice(0, equals)), decode(part.slice(equals + 1))];
    });
}

function decode(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** What would end a parameter, the query or the request line. */
const PARTING = /[^\x21-\x7e]|[&#%]/g;

/** Differs from Envoy, which writes what it has decoded as it is: another request than the one that was judged. */
function encode(text: string): string {
  return text.replace(PARTING, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

/** Envoy writes the query anew: in the order of the names. */
function writePath(path: string, parameters: readonly Parameter[]): string {
  const bare = path.split("?", 1)[0] ?? path;
  if (parameters.length === 0) return bare;
  const ordered = parameters.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `${bare}?${ordered.map(([name, value]) => `${encode(name).replaceAll("=", "%3D")}=${encode(value)}`).join("&")}`;
}
