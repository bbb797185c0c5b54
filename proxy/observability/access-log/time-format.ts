/** Times in the words of strftime, with Envoy's `%s`, `%f`, `%3f` and absl's `%E3S`. */

/** Formats a time in ms since the epoch (a fraction holds microseconds). */
export type TimeFormat = (epochMs: number) => string;

const DEFAULT_UTC = "%Y-%m-%dT%H:%M:%E3SZ";
const DEFAULT_LOCAL = "%Y-%m-%dT%H:%M:%E3S%z";
const DIRECTIVE = /%(?:E[#*0-9]?[A-Za-z]|:{1,3}z|[1-9]f|[A-Za-z%])/g;
/** What would put a line break into a header or a log. */
const NEWLINE = /%[-_0^#]*[1-9]*[EO]?n/;

const DAYS: readonly string[] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: readonly string[] = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** Compiles `format` (empty: Envoy's default); undefined when it would print a line break. */
export function compileTimeFormat(format: string, zone: "utc" | "local"): TimeFormat | undefined {
  if (NEWLINE.test(format)) return undefined;
  if (format === "" && zone === "utc") return cached((ms) => new Date(ms).toISOString());
  const text = format === "" ? (zone === "utc" ? DEFAULT_UTC : DEFAULT_LOCAL) : format;
  const parts: (string | ((time: Time) => string))[] = [];
  let end = 0;
  for (const match of text.matchAll(DIRECTIVE)) {
    parts.push(text.slice(end, match.index), directive(match[0]) ?? match[0]);
    end = match.index + match[0].length;
  }
  parts.push(text.slice(end));
  return cached((ms) => {
    const time = timeOf(ms, zone);
    let out = "";
    for (const part of parts) out += typeof part === "string" ? part : part(time);
    return out;
  });
}

/** Many requests share a millisecond. */
function cached(format: TimeFormat): TimeFormat {
  let lastMs = Number.NaN;
  let lastText = "";
  return (ms) => {
    if (ms !== lastMs) {
      lastText = format(ms);
      lastMs = ms;
    }
    return lastText;
  };
}

interface Time {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
  readonly weekday: number;
  /** From 0. */
  readonly yearday: number;
  readonly epochSeconds: number;
  /** Nine digits. */
  readonly nanos: string;
  readonly offsetMinutes: number;
  readonly zone: string;
}

function timeOf(ms: number, zone: "utc" | "local"): Time {
  const micros = Math.round(ms * 1000);
  const epochSeconds = Math.floor(micros / 1_000_000);
  const date = new Date(epochSeconds * 1000);
  const offsetMinutes = zone === "utc" ? 0 : -date.getTimezoneOffset();
  const shifted = new Date(epochSeconds * 1000 + offsetMinutes * 60_000);
  const year = shifted.getUTCFullYear();
  return {
    year,
    month: shifted.getUTCMonth() + 1,
    day: shifted.getUTCDate(),
    hour: shifted.getUTCHours(),
    minute: shifted.getUTCMinutes(),
    second: shifted.getUTCSeconds(),
    weekday: shifted.getUTCDay(),
    yearday: Math.floor((shifted.getTime() - Date.UTC(year, 0, 1)) / 86_400_000),
    epochSeconds,
    nanos: `${String(micros - epochSeconds * 1_000_000).padStart(6, "0")}000`,
    offsetMinutes,
    zone:
      zone === "utc"
        ? "UTC"
        : (new Intl.DateTimeFormat("en-US", { timeZoneName: "short" })
            .formatToParts(date)
            .find(({ type }) => type === "timeZoneName")?.value ?? ""),
  };
}

function directive(token: string): ((time: Time) => string) | string | undefined {
  const digits = /^%(?:E([0-9])|([1-9]))([Sf])$/.exec(token);
  if (digits !== null) {
    const count = Number(digits[1] ?? digits[2]);
    return digits[3] === "S"
      ? (t) => two(t.second) + fraction(t, count)
      : (t) => t.nanos.slice(0, count).padEnd(count, "0");
  }
  return DIRECTIVES[token];
}

const DIRECTIVES: Readonly<Record<string, ((time: Time) => string) | string>> = {
  "%%": "%",
  "%a": (t) => (DAYS[t.weekday] as string).slice(0, 3),
  "%A": (t) => DAYS[t.weekday] as string,
  "%b": (t) => (MONTHS[t.month - 1] as string).slice(0, 3),
  "%h": (t) => (MONTHS[t.month - 1] as string).slice(0, 3),
  "%B": (t) => MONTHS[t.month - 1] as string,
  "%c": (t) =>
    `${(DAYS[t.weekday] as string).slice(0, 3)} ${(MONTHS[t.month - 1] as string).slice(0, 3)} ${String(t.day).padStart(2)} ${clock(t)} ${t.year}`,
  "%C": (t) => two(Math.floor(t.year / 100)),
  "%d": (t) => two(t.day),
  "%D": (t) => `${two(t.month)}/${two(t.day)}/${two(t.year % 100)}`,
  "%e": (t) => String(t.day).padStart(2),
  "%f": (t) => t.nanos,
  "%F": (t) => `${t.year}-${two(t.month)}-${two(t.day)}`,
  "%H": (t) => two(t.hour),
  "%I": (t) => two(t.hour % 12 === 0 ? 12 : t.hour % 12),
  "%j": (t) => String(t.yearday + 1).padStart(3, "0"),
  "%m": (t) => two(t.month),
  "%M": (t) => two(t.minute),
  "%p": (t) => (t.hour < 12 ? "AM" : "PM"),
  "%R": (t) => `${two(t.hour)}:${two(t.minute)}`,
  "%s": (t) => String(t.epochSeconds),
  "%S": (t) => two(t.second),
  "%T": clock,
  "%u": (t) => String(t.weekday === 0 ? 7 : t.weekday),
  "%U": (t) => two(Math.floor((t.yearday + 7 - t.weekday) / 7)),
  "%w": (t) => String(t.weekday),
  "%W": (t) => two(Math.floor((t.yearday + 7 - ((t.weekday + 6) % 7)) / 7)),
  "%x": (t) => `${two(t.month)}/${two(t.day)}/${two(t.year % 100)}`,
  "%X": clock,
  "%y": (t) => two(t.year % 100),
  "%Y": (t) => String(t.year),
  "%z": (t) => offset(t, ""),
  "%Ez": (t) => offset(t, ":"),
  "%:z": (t) => offset(t, ":"),
  "%Z": (t) => t.zone,
  "%t": "\t",
  "%E*S": (t) => two(t.second) + trimmed(t, "."),
  "%E*f": (t) => trimmed(t, "") || "0",
  "%E4Y": (t) => String(t.year).padStart(4, "0"),
};

function clock(t: Time): string {
  return `${two(t.hour)}:${two(t.minute)}:${two(t.second)}`;
}

function fraction(t: Time, count: number): string {
  return count === 0 ? "" : `.${t.nanos.padEnd(count, "0").slice(0, count)}`;
}

function trimmed(t: Time, dot: string): string {
  const digits = t.nanos.replace(/0+$/, "");
  return digits === "" ? "" : dot + digits;
}

function offset(t: Time, separator: string): string {
  const minutes = Math.abs(t.offsetMinutes);
  return `${t.offsetMinutes < 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}${separator}${two(minutes % 60)}`;
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
