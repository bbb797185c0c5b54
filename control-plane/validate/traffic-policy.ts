/** TrafficPolicy of a DestinationRule, its subsets and its ports, as istiod checks it. */
import { fieldsOf, listOf, numberOf, stringOf, type Fields } from "../model/read-fields.ts";
import { fqdnFault, ipFault, portFault } from "./check-strings.ts";
import type { Findings } from "./findings.ts";
import { expectLocalityLb } from "./locality-lb.ts";
import { expect, expectDuration } from "./shared-checks.ts";

const blocks = ["outlierDetection", "connectionPool", "loadBalancer", "tls"] as const;

export function expectTrafficPolicy(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const policy = fieldsOf(value);
  const known = [...blocks, "portLevelSettings", "tunnel", "proxyProtocol", "retryBudget"];
  if (!known.some((key) => policy[key] !== undefined)) {
    findings.refuse(path, `the traffic policy is empty; it needs one of ${known.join(", ")}.`);
  }
  expectBlocks(findings, path, policy);
  for (const [index, item] of listOf(policy["portLevelSettings"]).entries()) {
    const at = `${path}.portLevelSettings[${index}]`;
    const settings = fieldsOf(item);
    expect(findings, `${at}.port.number`, portFault(fieldsOf(settings["port"])["number"]));
    if (!blocks.some((key) => settings[key] !== undefined))
      findings.refuse(at, `says nothing; it needs one of ${blocks.join(", ")}.`);
    expectBlocks(findings, at, settings);
  }
  expectTunnel(findings, `${path}.tunnel`, policy["tunnel"]);
}

function expectBlocks(findings: Findings, path: string, policy: Fields): void {
  expectOutlier(findings, `${path}.outlierDetection`, policy["outlierDetection"]);
  expectConnectionPool(findings, `${path}.connectionPool`, policy["connectionPool"]);
  expectLoadBalancer(
    findings,
    `${path}.loadBalancer`,
    policy["loadBalancer"],
    policy["outlierDetection"] !== undefined,
  );
  expectClientTls(findings, `${path}.tls`, policy["tls"]);
}

function expectOutlier(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const outlier = fieldsOf(value);
  expectDuration(findings, `${path}.baseEjectionTime`, outlier["baseEjectionTime"]);
  expectDuration(findings, `${path}.interval`, outlier["interval"]);
  if ((numberOf(outlier["consecutiveErrors"]) ?? 0) !== 0) {
    const instead = "use consecutive5xxErrors or consecutiveGatewayErrors instead";
    findings.warn(`${path}.consecutiveErrors`, `is deprecated and has no effect; ${instead}.`, "deprecated-field");
  }
  const localFailures = numberOf(outlier["consecutiveLocalOriginFailures"]) ?? 0;
  if (localFailures > 0 && outlier["splitExternalLocalOriginErrors"] !== true) {
    findings.refuse(`${path}.consecutiveLocalOriginFailures`, "counts only with splitExternalLocalOriginErrors: true.");
  }
  for (const key of ["maxEjectionPercent", "minHealthPercent"]) {
    const percent = numberOf(outlier[key]) ?? 0;
    if (percent < 0 || percent > 100) findings.refuse(`${path}.${key}`, `must be from 0 to 100, found ${percent}.`);
  }
}

export function expectConnectionPool(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const { http, tcp } = fieldsOf(value);
  if (http === undefined && tcp === undefined)
    findings.refuse(path, "the connection pool is empty; it needs tcp, http, or both.");
  const counts = (at: string, settings: Fields, keys: readonly string[]): void => {
    for (const key of keys) {
      const count = numberOf(settings[key]) ?? 0;
      if (count < 0) findings.refuse(`${at}.${key}`, `can't be negative, found ${count} (0 means no limit).`);
    }
  };
  const httpSettings = fieldsOf(http);
  const limits = [
    "http1MaxPendingRequests",
    "http2MaxRequests",
    "maxRequestsPerConnection",
    "maxRetries",
    "maxConcurrentStreams",
  ];
  counts(`${path}.http`, httpSettings, limits);
  expectDuration(findings, `${path}.http.idleTimeout`, httpSettings["idleTimeout"]);
  if (httpSettings["h2UpgradePolicy"] === "UPGRADE" && httpSettings["useClientProtocol"] === true) {
    findings.refuse(`${path}.http.useClientProtocol`, "must not be true together with h2UpgradePolicy UPGRADE.");
  }
  const tcpSettings = fieldsOf(tcp);
  counts(`${path}.tcp`, tcpSettings, ["maxConnections"]);
  for (const key of ["connectTimeout", "maxConnectionDuration", "idleTimeout"]) {
    expectDuration(findings, `${path}.tcp.${key}`, tcpSettings[key]);
  }
}

/** Largest table that Envoy builds. */
const MAX_MAGLEV_TABLE = 5_000_011;

function expectLoadBalancer(findings: Findings, path: string, value: unknown, hasOutlier: boolean): void {
  if (value === undefined) return;
  const balancer = fieldsOf(value);
  const hash = fieldsOf(balancer["consistentHash"]);
  if (hash["httpCookie"] !== undefined && (stringOf(fieldsOf(hash["httpCookie"])["name"]) ?? "") === "") {
    findings.refuse(`${path}.consistentHash.httpCookie.name`, "a cookie needs a name.");
  }
  if ((numberOf(hash["minimumRingSize"]) ?? 0) !== 0) {
    findings.warn(
      `${path}.consistentHash.minimumRingSize`,
      "is deprecated; use ringHash.minimumRingSize.",
      "deprecated-field",
    );
  }
  if (hash["maglev"] !== undefined) {
    const size = numberOf(fieldsOf(hash["maglev"])["tableSize"]) ?? 0;
    const at = `${path}.consistentHash.maglev.tableSize`;
    if (size !== 0 && (size > MAX_MAGLEV_TABLE || !isPrime(size))) {
      findings.refuse(at, `must be a prime number of at most ${MAX_MAGLEV_TABLE}, found ${size}.`);
    }
  }
  expectLocalityLb(findings, `${path}.localityLbSetting`, balancer["localityLbSetting"], hasOutlier);
}

function expectClientTls(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const tls = fieldsOf(value);
  const has = (key: string): boolean => (stringOf(tls[key]) ?? "") !== "";
  const mode = tls["mode"];
  if ((mode === "SIMPLE" || mode === "MUTUAL") && has("credentialName")) {
    for (const key of ["clientCertificate", "privateKey", "caCertificates", "caCrl"]) {
      if (has(key)) findings.refuse(`${path}.${key}`, "can't be set beside credentialName: the Secret holds it.");
    }
    return;
  }
  if (mode !== "MUTUAL") return;
  for (const key of ["clientCertificate", "privateKey"]) {
    if (!has(key)) findings.refuse(path, `mode MUTUAL needs ${key}, or a credentialName.`);
  }
}

function expectTunnel(findings: Findings, path: string, value: unknown): void {
  if (value === undefined) return;
  const { protocol, targetHost, targetPort } = fieldsOf(value);
  if (protocol !== undefined && protocol !== "CONNECT" && protocol !== "POST") {
    findings.refuse(`${path}.protocol`, "must be CONNECT or POST.");
  }
  const host = stringOf(targetHost) ?? "";
  const fault = ipFault(host) === undefined ? undefined : fqdnFault(host);
  expect(findings, `${path}.targetHost`, fault);
  expect(findings, `${path}.targetPort`, portFault(targetPort));
}

function isPrime(number: number): boolean {
  if (number < 2) return false;
  for (let divisor = 2; divisor * divisor <= number; divisor += 1) {
    if (number % divisor === 0) return false;
  }
  return true;
}
