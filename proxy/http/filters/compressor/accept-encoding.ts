/** `accept-encoding` of a request → the compressor that answers it, as Envoy chooses. */

export interface EncodingChoice {
  /** `identity`: none. */
  readonly encoding: string;
  readonly because: "used" | "identity" | "wildcard" | "not-valid";
}

/** `allowed`: the encodings of the chain's compressors, the first of the chain first. */
export function chooseEncoding(header: string, allowed: readonly string[]): EncodingChoice {
  let best = "identity";
  let bestWeight = 0;
  for (const token of header.split(",")) {
    const [name = "", ...parameters] = token.split(";");
    const encoding = name.trim();
    const weight = weightOf(parameters.join(";"));
    if (weight === undefined || weight <= bestWeight) continue;
    if (!allowed.includes(encoding) && encoding !== "identity" && encoding !== "*") continue;
    best = encoding;
    bestWeight = weight;
  }
  if (bestWeight === 0) return { encoding: "identity", because: "not-valid" };
  if (best === "identity") return { encoding: best, because: "identity" };
  if (best === "*") return { encoding: allowed[0] ?? "identity", because: "wildcard" };
  return { encoding: best, because: "used" };
}

/** 1 without `q`; undefined: it can't be read. */
function weightOf(parameters: string): number | undefined {
  const equals = parameters.indexOf("=");
  if (equals < 0 || parameters.slice(0, equals).trim().toLowerCase() !== "q") return 1;
  const text = parameters.slice(equals + 1).trim();
  const weight = text === "" ? Number.NaN : Number(text);
  return Number.isNaN(weight) ? undefined : weight;
}
