/** Durations as Istio writes them (`1h30m`, `50ms`, `2.5s`) and as proto3 JSON does (`5400s`, `0.050s`). */

export interface Duration {
  readonly seconds: number;
  readonly nanos: number;
}

const UNIT_NANOS: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  ns: 1n,
};
const WHOLE = /^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:h|ms|m|s|us|µs|ns))+$/;
const PART = /(\d+)?(?:\.(\d*))?(h|ms|m|s|us|µs|ns)/g;

/** Go's duration syntax; `0` alone is allowed. Undefined when the text is none. */
export function parseDuration(text: string | undefined): Duration | undefined {
  if (text === undefined) return undefined;
  if (text === "0") return { seconds: 0, nanos: 0 };
  if (!WHOLE.test(text)) return undefined;
  let total = 0n;
  for (const [, whole, fraction, unit] of text.matchAll(PART)) {
    const scale = UNIT_NANOS[unit ?? ""] ?? 0n;
    total += BigInt(whole ?? "0") * scale;
    if (fraction !== undefined && fraction !== "") {
      const digits = fraction.slice(0, 12);
      total += (BigInt(digits) * scale) / 10n ** BigInt(digits.length);
    }
  }
  if (text.startsWith("-")) total = -total;
  return { seconds: Number(total / 1_000_000_000n), nanos: Number(total % 1_000_000_000n) };
}

/** proto3 JSON: whole seconds, or 3, 6 or 9 digits of a fraction. */
export function formatDuration({ seconds, nanos }: Duration): string {
  const sign = seconds < 0 || nanos < 0 ? "-" : "";
  const whole = `${sign}${Math.abs(seconds)}`;
  if (nanos === 0) return `${whole}s`;
  const digits = String(Math.abs(nanos)).padStart(9, "0");
  if (digits.endsWith("000000")) return `${whole}.${digits.slice(0, 3)}s`;
  if (digits.endsWith("000")) return `${whole}.${digits.slice(0, 6)}s`;
  return `${whole}.${digits}s`;
}

/** Istio text → proto3 JSON; undefined when absent or no duration. */
export function durationJson(text: string | undefined): string | undefined {
  const duration = parseDuration(text);
  return duration === undefined ? undefined : formatDuration(duration);
}

export function durationFromMs(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  return formatDuration({ seconds, nanos: Math.round((ms - seconds * 1000) * 1_000_000) });
}

/** Whole seconds, as fields of type uint32 have them; undefined when absent. */
export function wholeSeconds(text: string | undefined): number | undefined {
  return parseDuration(text)?.seconds;
}
