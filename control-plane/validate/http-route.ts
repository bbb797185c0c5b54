/** One rule of `spec.http` of a VirtualService, as istiod checks it. */
import { fieldsOf, listOf, numberOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { headerNameFault, httpStatusFault, isDnsLabel, portFault, regexFault } from "./check-strings.ts";
import {
  expectDestination,
  expectHeaderOperations,
  expectOneAuthority,
  expectRouteDestinations,
} from "./destinations.ts";
import type { Findings } from "./findings.ts";
import { expect, expectDuration, expectLabels, expectPercentage } from "./shared-checks.ts";
import { expectStringMatch } from "./string-match.ts";

export interface HttpRuleContext {
  /** The VirtualService has no hosts: another one's rules delegate to it. */
  readonly isDelegate: boolean;
  /** Claims of a token are known at gateways only (rule 22). */
  readonly mayRouteByClaims: boolean;
}

const MAX_BODY_BYTES = 1024 * 1024;

export function expectHttpRule(findings: Findings, path: string, value: unknown, context: HttpRuleContext): void {
  const rule = fieldsOf(value);
  expectOneAction(findings, path, rule, context);
  for (const [index, match] of listOf(rule["match"]).entries()) {
    expectMatch(findings, `${path}.match[${index}]`, fieldsOf(match), context);
  }
  expectHeaderOperations(findings, `${path}.headers`, rule["headers"]);
  expectOneAuthority(findings, path, rule["rewrite"], rule["headers"]);
  expectRouteDestinations(findings, `${path}.route`, rule["route"]);
  for (const [index, item] of listOf(rule["route"]).entries()) {
    expectOneAuthority(findings, `${path}.route[${index}]`, undefined, fieldsOf(item)["headers"]);
  }
  expectCors(findings, `${path}.corsPolicy`, rule["corsPolicy"]);
  expectFault(findings, `${path}.fault`, rule["fault"]);
  expectRetries(findings, `${path}.retries`, rule["retries"]);
  expectRewrite(findings, `${path}.rewrite`, rule["rewrite"]);
  expectRedirect(findings, `${path}.redirect`, rule["redirect"]);
  expectDirectResponse(findings, `${path}.directResponse`, rule["directResponse"]);
  expectDuration(findings, `${path}.timeout`, rule["timeout"]);
  expectMirrors(findings, path, rule);
}

function expectOneAction(findings: Findings, path: string, rule: Fields, context: HttpRuleContext): void {
  const has = (key: string): boolean => rule[key] !== undefined;
  const hasRoute = listOf(rule["route"]).length > 0;
  if (has("delegate")) {
    if (context.isDelegate) findings.refuse(`${path}.delegate`, "a delegate can't delegate further.");
    for (const key of ["redirect", "route", "directResponse"]) {
      const isSet = key === "route" ? hasRoute : has(key);
      if (isSet)
        findings.refuse(`${path}.${key}`, `a rule that delegates can't have ${key}; it belongs to the delegate.`);
    }
    return;
  }
  const action = has("redirect") ? "redirect" : has("directResponse") ? "directResponse" : undefined;
  if (action === undefined) {
    if (!hasRoute)
      findings.refuse(path, "the rule does nothing: it needs route, redirect, directResponse or delegate.");
    return;
  }
  const conflicts = action === "redirect" ? ["fault", "rewrite", "directResponse"] : ["fault", "rewrite"];
  if (hasRoute) findings.refuse(`${path}.${action}`, `a rule can't have both route and ${action}.`);
  for (const key of conflicts) {
    if (has(key)) findings.refuse(`${path}.${key}`, `a rule can't have both ${key} and ${action}.`);
  }
}

function expectMatch(findings: Findings, path: string, match: Fields, context: HttpRuleContext): void {
  for (const [name, header] of Object.entries(fieldsOf(match["headers"]))) {
    const at = `${path}.headers[${JSON.stringify(name)}]`;
    expectMatchedHeader(findings, at, name, context);
    expectStringMatch(findings, at, header);
  }
  for (const [name, header] of Object.entries(fieldsOf(match["withoutHeaders"]))) {
    const at = `${path}.withoutHeaders[${JSON.stringify(name)}]`;
    expectMatchedHeader(findings, at, name, context);
    // `*` stands for presence here, it is no regular expression.
    if (fieldsOf(header)["regex"] !== "*") expectStringMatch(findings, at, header);
  }
  expectStringMatch(findings, `${path}.uri`, match["uri"], true);
  for (const key of ["scheme", "method", "authority"]) expectStringMatch(findings, `${path}.${key}`, match[key]);
  for (const [name, parameter] of Object.entries(fieldsOf(match["queryParams"]))) {
    expectStringMatch(findings, `${path}.queryParams[${JSON.stringify(name)}]`, parameter);
  }
  const port = match["port"];
  if (port !== undefined && port !== 0) expect(findings, `${path}.port`, portFault(port));
  expectLabels(findings, `${path}.sourceLabels`, match["sourceLabels"]);
  expectGatewayNames(findings, `${path}.gateways`, match["gateways"]);
  const namespace = stringOf(match["sourceNamespace"]) ?? "";
  if (namespace !== "" && !isDnsLabel(namespace)) {
    findings.refuse(`${path}.sourceNamespace`, `${JSON.stringify(namespace)} is no name of a namespace.`);
  }
}

function expectMatchedHeader(findings: Findings, at: string, name: string, context: HttpRuleContext): void {
  if (/^@request\.auth\.claims[.[]/.test(name)) {
    if (!context.mayRouteByClaims) {
      findings.refuse(
        at,
        "routing by claims of a token works at gateways only: name gateways in spec.gateways, without mesh.",
      );
    }
    return;
  }
  expect(findings, at, headerNameFault(name.startsWith(":") ? name.slice(1) : name));
}

/** `mesh`, a name, or `namespace/name`. */
export function expectGatewayNames(findings: Findings, path: string, value: unknown): void {
  for (const [index, name] of listOf(value).map(String).entries()) {
    const parts = name.split("/");
    const isName = parts.length <= 2 && parts.every((part) => part.split(".").every(isDnsLabel));
    if (!isName)
      findings.refuse(
        `${path}[${index}]`,
        `${JSON.stringify(name)} must be \`mesh\`, a Gateway's name, or namespace/name.`,
      );
    else if (parts.length === 1 && name.includes(".")) {
      const [gateway = "", namespace = ""] = name.split(".");
      findings.warn(`${path}[${index}]`, `${name} is the old form of a Gateway's name; write ${namespace}/${gateway}.`);
    }
  }
}

const corsMethods = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*"]);

function expectCors(findings: Findings, path: string, value: unknown): void {
  const cors = fieldsOf(value);
  for (const [index, origin] of listOf(cors["allowOrigins"]).entries()) {
    const at = `${path}.allowOrigins[${index}]`;
    const { exact, prefix, regex } = fieldsOf(origin);
    if ((stringOf(exact ?? prefix ?? regex) ?? "") === "")
      findings.refuse(at, "an origin needs a non-empty exact, prefix or regex.");
    else if (regex !== undefined) expect(findings, `${at}.regex`, regexFault(stringOf(regex) ?? ""));
  }
  for (const [index, method] of stringsOf(cors["allowMethods"]).entries()) {
    if (!corsMethods.has(method)) {
      findings.refuse(
        `${path}.allowMethods[${index}]`,
        `${JSON.stringify(method)} must be one of ${[...corsMethods].join(", ")}.`,
      );
    }
  }
  for (const key of ["allowHeaders", "exposeHeaders"]) {
    for (const [index, name] of stringsOf(cors[key]).entries()) {
      expect(findings, `${path}.${key}[${index}]`, headerNameFault(name));
    }
  }
  expectDuration(findings, `${path}.maxAge`, cors["maxAge"]);
  const maxAge = stringOf(cors["maxAge"]) ?? "";
  if (/\d(?:ms|us|µs|ns)|\.\d*[1-9]/.test(maxAge)) findings.refuse(`${path}.maxAge`, "must be whole seconds.");
}

function expectFault(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const { abort, delay } = fieldsOf(value);
  if (abort === undefined && delay === undefined) findings.refuse(path, "a fault needs an abort, a delay, or both.");
  if (abort !== undefined) {
    const { percentage, httpStatus, grpcStatus, http2Error } = fieldsOf(abort);
    if (httpStatus === undefined && grpcStatus === undefined && http2Error === undefined) {
      findings.warn(`${path}.abort`, "says no error, so that nothing is aborted; add httpStatus or grpcStatus.");
    }
    expectPercentage(findings, `${path}.abort.percentage`, percentage);
    if (httpStatus !== undefined) expect(findings, `${path}.abort.httpStatus`, httpStatusFault(httpStatus));
    if (grpcStatus !== undefined && !grpcStatuses.has(stringOf(grpcStatus) ?? "")) {
      findings.refuse(
        `${path}.abort.grpcStatus`,
        `${JSON.stringify(grpcStatus)} must be a gRPC status: ${[...grpcStatuses].join(", ")}.`,
      );
    }
    if (http2Error !== undefined)
      findings.refuse(`${path}.abort.http2Error`, "is not supported; abort with httpStatus or grpcStatus.");
  }
  if (delay !== undefined) {
    const { percentage, fixedDelay, exponentialDelay } = fieldsOf(delay);
    expectPercentage(findings, `${path}.delay.percentage`, percentage);
    expectDuration(findings, `${path}.delay.fixedDelay`, fixedDelay);
    if (exponentialDelay !== undefined)
      findings.refuse(`${path}.delay.exponentialDelay`, "is not supported; use fixedDelay.");
  }
}

const grpcStatuses: ReadonlySet<string> = new Set([
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
]);

/** Envoy's conditions, HTTP's and gRPC's; status codes count as well. */
const retryConditions: ReadonlySet<string> = new Set([
  "5xx",
  "gateway-error",
  "reset",
  "reset-before-request",
  "connect-failure",
  "retriable-4xx",
  "refused-stream",
  "retriable-status-codes",
  "retriable-headers",
  "envoy-ratelimited",
  "http3-post-connect-failure",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
]);

/** Also of meshConfig.defaultHttpRetryPolicy. */
export function expectRetries(findings: Findings, path: string, value: unknown): void {
  const retries = fieldsOf(value);
  const attempts = numberOf(retries["attempts"]) ?? 0;
  if (attempts < 0) findings.refuse(`${path}.attempts`, `can't be negative, found ${attempts}.`);
  const useless = ["perTryTimeout", "retryOn", "retryRemoteLocalities"].find((key) => retries[key] !== undefined);
  if (value !== undefined && attempts === 0 && useless !== undefined) {
    findings.refuse(path, `attempts is 0 (no retries), and yet ${useless} is set; give attempts, or remove the rest.`);
  }
  expectDuration(findings, `${path}.perTryTimeout`, retries["perTryTimeout"]);
  expectDuration(findings, `${path}.backoff`, retries["backoff"]);
  for (const item of (stringOf(retries["retryOn"]) ?? "").split(",")) {
    const condition = item.trim();
    if (condition === "" || retryConditions.has(condition)) continue;
    const isStatus = /^\d{3}$/.test(condition) && httpStatusFault(Number(condition)) === undefined;
    if (!isStatus) {
      const allowed = `a status code or one of ${[...retryConditions].join(", ")}`;
      findings.refuse(
        `${path}.retryOn`,
        `${JSON.stringify(condition)} is no condition for a retry; allowed is ${allowed}.`,
      );
    }
  }
}

function expectRewrite(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const { uri, authority, uriRegexRewrite } = fieldsOf(value);
  const hasUri = uri !== undefined && uri !== "";
  if (hasUri && uriRegexRewrite !== undefined) findings.refuse(path, "uri and uriRegexRewrite exclude each other.");
  if (!hasUri && uriRegexRewrite === undefined && (authority === undefined || authority === "")) {
    findings.refuse(path, "the rewrite changes nothing: it needs uri, uriRegexRewrite or authority.");
  }
  if (uriRegexRewrite === undefined) return;
  const { match, rewrite } = fieldsOf(uriRegexRewrite);
  if (stringOf(match) === undefined || match === "" || rewrite === undefined || rewrite === "") {
    findings.refuse(`${path}.uriRegexRewrite`, "needs both match and rewrite.");
  } else {
    expect(findings, `${path}.uriRegexRewrite.match`, regexFault(stringOf(match) ?? ""));
  }
}

function expectRedirect(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const redirect = fieldsOf(value);
  const says = ["uri", "authority", "scheme", "port", "derivePort", "prefixRewrite", "uriPrefixRewrite"];
  if (!says.some((key) => redirect[key] !== undefined && redirect[key] !== "")) {
    findings.refuse(path, "the redirect leads nowhere: it needs uri, authority, scheme, port or derivePort.");
  }
  const code = numberOf(redirect["redirectCode"]) ?? 0;
  if (code !== 0 && (code < 300 || code > 399))
    findings.refuse(`${path}.redirectCode`, `must be a 3xx status, found ${code}.`);
  const scheme = stringOf(redirect["scheme"]) ?? "";
  if (scheme !== "" && scheme !== "http" && scheme !== "https")
    findings.refuse(`${path}.scheme`, "must be http or https.");
  const port = redirect["port"];
  if (port !== undefined && port !== 0) expect(findings, `${path}.port`, portFault(port));
}

function expectDirectResponse(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const { status, body } = fieldsOf(value);
  expect(findings, `${path}.status`, httpStatusFault(status));
  const { string, bytes } = fieldsOf(body);
  const size = Buffer.byteLength(stringOf(string) ?? "") + Math.floor((stringOf(bytes)?.length ?? 0) * 0.75);
  if (size > MAX_BODY_BYTES) findings.refuse(`${path}.body`, "a body may hold at most 1 MiB.");
  else if (size > MAX_BODY_BYTES / 10)
    findings.warn(`${path}.body`, "a body this large travels to every proxy; serve it from an application.");
}

function expectMirrors(findings: Findings, path: string, rule: Fields): void {
  const mirrors = listOf(rule["mirrors"]);
  if (rule["mirror"] !== undefined) {
    expectDestination(findings, `${path}.mirror`, rule["mirror"]);
    if (mirrors.length > 0) findings.refuse(`${path}.mirrors`, "mirror and mirrors exclude each other.");
  }
  for (const name of ["mirrorPercent", "mirror_percent"]) {
    const percent = rule[name];
    if (percent === undefined) continue;
    if ((numberOf(percent) ?? 0) > 100)
      findings.refuse(`${path}.${name}`, `must be at most 100, found ${numberOf(percent) ?? 0}.`);
    findings.warn(`${path}.${name}`, "is deprecated; use mirrorPercentage.value.", "deprecated-field");
  }
  expectPercentage(findings, `${path}.mirrorPercentage`, rule["mirrorPercentage"]);
  for (const [index, mirror] of mirrors.entries()) {
    const at = `${path}.mirrors[${index}]`;
    expectDestination(findings, `${at}.destination`, fieldsOf(mirror)["destination"]);
    expectPercentage(findings, `${at}.percentage`, fieldsOf(mirror)["percentage"]);
  }
}
