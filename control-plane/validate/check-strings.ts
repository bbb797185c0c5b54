/** The strings of Istio's API: names, hosts, headers, regular expressions, durations. Each answers what is wrong, or nothing. */
import { RE2JS } from "re2js";
import { ipFamily, parseCidr } from "../model/ip.ts";
import { durationMsFrom } from "../model/duration.ts";

const label = /^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/;
const wildcardLabel = /^(?:\*|(?:\*|\*-)?[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?)$/;
const headerName = /^[-!#$%&'*+.^_`|~0-9A-Za-z]+$/;
const labelKeyName = /^[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?$/;
const labelValue = /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;

/** Longest regular expression that istiod takes. */
const MAX_REGEX_LENGTH = 1024;

export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && label.test(text);
}

/** A DNS name; a wildcard may stand only as the first label (`*.example.com`). */
export function wildcardDomainFault(domain: string): string | undefined {
  const [first = "", ...rest] = domain.split(".");
  const fault = domainLengthFault(domain);
  if (fault !== undefined) return fault;
  if (first.length > 63 || !wildcardLabel.test(first)) return labelFault(domain, first);
  return labelsFault(domain, rest);
}

/** A DNS name without wildcards. */
export function fqdnFault(domain: string): string | undefined {
  return domainLengthFault(domain) ?? labelsFault(domain, domain.split("."));
}

function domainLengthFault(domain: string): string | undefined {
  if (domain === "") return "an empty name is no host";
  return domain.length > 255 ? `the name is longer than 255 characters` : undefined;
}

function labelsFault(domain: string, labels: readonly string[]): string | undefined {
  for (const [index, part] of labels.entries()) {
    // `istio.io.` is unambiguous on purpose.
    if (part === "" && index === labels.length - 1) return undefined;
    if (!isDnsLabel(part)) return labelFault(domain, part);
  }
  return undefined;
}

function labelFault(domain: string, part: string): string {
  return `${JSON.stringify(domain)} is no DNS name: the part ${JSON.stringify(part)} must be letters, digits and \`-\` (a \`*\` only as the whole first part)`;
}

/** Rule 2: either may hold the wildcard; a wildcard matches by suffix. */
export function hostsOverlap(one: string, other: string): boolean {
  const isOneWild = one.startsWith("*");
  const isOtherWild = other.startsWith("*");
  if (isOneWild && isOtherWild) {
    const [shorter, longer] = one.length < other.length ? [one, other] : [other, one];
    return longer.slice(1).endsWith(shorter.slice(1));
  }
  if (isOneWild) return other.endsWith(one.slice(1));
  return isOtherWild ? one.endsWith(other.slice(1)) : one === other;
}

/** `host` lies wholly within `within` (unlike hostsOverlap, not symmetric). */
export function isHostWithin(host: string, within: string): boolean {
  if (!within.startsWith("*")) return host === within;
  if (host.startsWith("*")) return host.length >= within.length && host.slice(1).endsWith(within.slice(1));
  return host.endsWith(within.slice(1));
}

export function regexFault(pattern: string): string | undefined {
  if (pattern === "") return "the regular expression must not be empty";
  if (pattern.length > MAX_REGEX_LENGTH) return `the regular expression is longer than ${MAX_REGEX_LENGTH} characters`;
  try {
    RE2JS.compile(pattern);
    return undefined;
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}: regular expressions are RE2's (no look-around, no back references)`;
  }
}

export function headerNameFault(name: string): string | undefined {
  if (name === "") return "the header name is empty";
  return headerName.test(name) ? undefined : `${JSON.stringify(name)} is no header name`;
}

export function headerValueFault(value: string): string | undefined {
  for (const character of value) {
    const code = character.codePointAt(0) ?? 0;
    if ((code < 32 && code !== 9) || code === 127)
      return "a header value may not hold control characters or line breaks";
  }
  return undefined;
}

/** Istio's durations: at least a millisecond, in whole milliseconds. */
export function durationFault(value: unknown): string | undefined {
  const ms = durationMsFrom(value);
  if (ms === undefined) return `must be a duration, as 1s, 500ms or 1m30s, found ${JSON.stringify(value)}`;
  if (ms < 1) return `must be at least 1ms, found ${String(value)}`;
  return Number.isInteger(Math.round(ms * 1e6) / 1e6)
    ? undefined
    : `must be whole milliseconds, found ${String(value)}`;
}

export function portFault(value: unknown): string | undefined {
  const isPort = typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535;
  return isPort ? undefined : `must be a port from 1 to 65535, found ${JSON.stringify(value)}`;
}

export function cidrFault(text: string): string | undefined {
  return parseCidr(text) === undefined
    ? `${JSON.stringify(text)} is no IP address or prefix, as 10.0.0.0/8`
    : undefined;
}

export function ipFault(text: string): string | undefined {
  return ipFamily(text) === 0 ? `${JSON.stringify(text)} is no IP address` : undefined;
}

export function labelKeyFault(key: string): string | undefined {
  const slash = key.indexOf("/");
  const name = slash < 0 ? key : key.slice(slash + 1);
  const isPrefixed = slash < 0 || fqdnFault(key.slice(0, slash)) === undefined;
  return isPrefixed && name.length <= 63 && labelKeyName.test(name)
    ? undefined
    : `${JSON.stringify(key)} is no label name`;
}

export function labelValueFault(value: string): string | undefined {
  if (value.length <= 63 && labelValue.test(value)) return undefined;
  return `${JSON.stringify(value)} is no label value: letters, digits, \`-\`, \`_\`, \`.\`, at most 63`;
}

export function httpStatusFault(status: unknown): string | undefined {
  const isStatus = typeof status === "number" && status >= 200 && status <= 600;
  return isStatus ? undefined : `must be an HTTP status from 200 to 599, found ${JSON.stringify(status)}`;
}
