/** Values in an AuthorizationPolicy. Each answers what is wrong, or nothing. */
import { cidrFault } from "./check-strings.ts";

const MAX_SERVICE_ACCOUNTS = 16;
const MAX_SERVICE_ACCOUNT_LENGTH = 320;

/** `name` or `namespace/name`, without wildcards. */
export function serviceAccountsFault(values: readonly unknown[]): string | undefined {
  if (values.length > MAX_SERVICE_ACCOUNTS) return `may hold at most ${MAX_SERVICE_ACCOUNTS} service accounts`;
  for (const value of values) {
    const text = String(value);
    if (text.includes("*")) return `${JSON.stringify(value)}: service accounts have no wildcards`;
    if (text.length > MAX_SERVICE_ACCOUNT_LENGTH)
      return `a service account is longer than ${MAX_SERVICE_ACCOUNT_LENGTH} characters`;
    if (!/^[^/]+(?:\/[^/]+)?$/.test(text)) return `${JSON.stringify(value)} must be \`name\` or \`namespace/name\``;
  }
  return undefined;
}

/** `{*}` and `{**}` as whole segments, `{**}` after all others; other braces mean nothing. */
export function pathTemplateFault(path: string): string | undefined {
  const isTemplate = /\{\*\*?\}/.test(path);
  let isOpenEnded = false;
  for (const segment of path.replace(/^\/+|\/+$/g, "").split("/")) {
    if (segment === "{*}" || segment === "{**}") {
      if (isOpenEnded) return `${JSON.stringify(path)}: no {*} or {**} may follow {**}`;
      isOpenEnded = segment === "{**}";
    } else if (/[{}]/.test(segment)) {
      return `${JSON.stringify(path)}: braces are only for {*} and {**}, each a whole segment`;
    } else if (isTemplate && !/^[a-zA-Z0-9\-._~%!$&'()+,;:@=]+$/.test(segment)) {
      return `${JSON.stringify(path)}: the segment ${JSON.stringify(segment)} of a template has characters that a path has not`;
    }
  }
  return undefined;
}

const ADDRESSES = new Set(["source.ip", "remote.ip", "destination.ip"]);
const TEXTS = new Set([
  "source.namespace",
  "source.principal",
  "source.trustDomain",
  "request.auth.principal",
  "request.auth.audiences",
  "request.auth.presenter",
  "connection.sni",
]);
const WITH_NAME = [
  "request.headers",
  "request.experimental.inline.headers",
  "request.auth.claims",
  "experimental.envoy.filters.",
];

/** A condition with all of its values, `values` and `notValues`. */
export function conditionFault(key: string, values: readonly unknown[]): string | undefined {
  if (values.some((value) => value === "")) return `${key} has an empty value, which matches nothing`;
  if (WITH_NAME.some((prefix) => key.startsWith(prefix))) return nameFault(key);
  if (ADDRESSES.has(key)) return firstFault(values, (value) => cidrFault(String(value)));
  if (key === "destination.port") return firstFault(values, portFault);
  if (key === "source.serviceAccount") return serviceAccountsFault(values);
  return TEXTS.has(key) ? undefined : `${key} is no attribute that a condition may ask for`;
}

/** `a[b]` */
function nameFault(key: string): string | undefined {
  return /^[^[]+\[.+\]$/s.test(key) ? undefined : `${key} must name what is meant, as in request.headers[x-role]`;
}

function portFault(value: unknown): string | undefined {
  const text = String(value);
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535 ? undefined : `${JSON.stringify(value)} is no port`;
}

function firstFault(values: readonly unknown[], faultOf: (value: unknown) => string | undefined): string | undefined {
  return values.map(faultOf).find((fault) => fault !== undefined);
}
