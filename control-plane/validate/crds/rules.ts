/**
 * What the CRDs say in CEL (`x-kubernetes-validations`), each expression as a predicate of ours. There are about forty, all
 * small: a table of functions says the same as an interpreter of CEL would, checks faster, and can say what to do. A test
 * sees to it that every expression in the CRDs has its row.
 */
import { durationMsFrom } from "../../model/duration.ts";
import type { CrdRule } from "./crd-schema.ts";
import { gatewayApiRules } from "./gateway-api-rules.ts";
import { fieldsOf, listOf, stringOf, type Fields } from "../../model/read-fields.ts";

const about = (holds: (fields: Fields) => boolean, message: string): CrdRule => ({
  holds: (value) => holds(fieldsOf(value)),
  message,
});
const text = (holds: (value: string) => boolean, message: string): CrdRule => ({
  holds: (value) => holds(stringOf(value) ?? ""),
  message,
});
const keys = (holds: (key: string) => boolean, message: string): CrdRule =>
  about((fields) => Object.keys(fields).every(holds), message);
const atMostOne = (names: readonly string[], message: string): CrdRule =>
  about((fields) => names.filter((name) => name in fields).length <= 1, message);
/** `url` with a scheme, or a bare `host/path`. */
const pluginUrl = text((value) => {
  const match = /^([a-z][a-z0-9+.-]*):\/\//i.exec(value);
  return URL.canParse(match === null ? `http://${value}` : value) && isPluginScheme(match?.[1] ?? "");
}, "must be a URL of http, https, file or oci.");
const isPluginScheme = (scheme: string): boolean => ["", "http", "https", "file", "oci"].includes(scheme);
const selectorWildcard = text((value) => !value.includes("*"), "a selector takes no wildcards.");
const envValue = about(
  ({ valueFrom, value }) => valueFrom !== "HOST" || value === undefined,
  "with valueFrom HOST the value comes from the host; remove value, or say INLINE.",
);
const size = (value: unknown): number => Object.keys(fieldsOf(value)).length;
const isPort = (port: unknown): boolean => typeof port === "number" && port > 0 && port <= 65535;

/** By the expression as the CRD writes it. */
export const crdRules: Readonly<Record<string, CrdRule>> = {
  ...gatewayApiRules,
  "(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1": atMostOne(
    ["selector", "targetRefs"],
    "set only one of selector and targetRefs.",
  ),
  "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1": atMostOne(
    ["selector", "targetRef", "targetRefs"],
    "set only one of selector, targetRef and targetRefs.",
  ),
  "(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1": atMostOne(
    ["workloadSelector", "targetRefs"],
    "set only one of workloadSelector and targetRefs.",
  ),
  "(has(self.workloadSelector) ? 1 : 0) + (has(self.endpoints) ? 1 : 0) <= 1": atMostOne(
    ["workloadSelector", "endpoints"],
    "set only one of workloadSelector and endpoints.",
  ),
  "(has(self.tlsCertificates) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1": atMostOne(
    ["tlsCertificates", "credentialNames"],
    "set only one of tlsCertificates and credentialNames.",
  ),
  "(has(self.credentialNames) ? 1 : 0) + (has(self.tlsCertificates) ? 1 : 0) <= 1": atMostOne(
    ["tlsCertificates", "credentialNames"],
    "set only one of tlsCertificates and credentialNames.",
  ),
  "(has(self.credentialName) ? 1 : 0) + (has(self.credentialNames) ? 1 : 0) <= 1": atMostOne(
    ["credentialName", "credentialNames"],
    "set only one of credentialName and credentialNames.",
  ),
  "(has(self.jwksUri) ? 1 : 0) + (has(self.jwks_uri) ? 1 : 0) + (has(self.jwks) ? 1 : 0) <= 1": atMostOne(
    ["jwksUri", "jwks_uri", "jwks"],
    "set only one of jwksUri and jwks.",
  ),
  "has(self.wasm) != has(self.lua)": about(
    ({ wasm, lua }) => (wasm === undefined) !== (lua === undefined),
    "set exactly one of wasm and lua.",
  ),
  'self.all(key, !key.contains("*"))': keys((key) => !key.includes("*"), "a label name takes no wildcards."),
  "self.all(key, key.size() != 0)": keys((key) => key !== "", "an empty label name selects nothing."),
  '!self.contains("*")': selectorWildcard,
  "self.size() == 0": text((value) => value === "", "a policy reaches only its own namespace; remove it."),
  'isURL(self) ? (url(self).getScheme() in ["", "http", "https", "file", "oci"]) : (isURL("http://" + self) &&\nurl("http://" + self).getScheme() in ["", "http", "https", "file", "oci"])':
    pluginUrl,
  'isURL(self) ? (url(self).getScheme() in ["", "http", "https", "oci", "file"]) : (isURL("http://" + self) &&\nurl("http://" + self).getScheme() in ["", "http", "https", "oci", "file"])':
    pluginUrl,
  '(has(self.valueFrom) ? self.valueFrom : "") != "HOST" || !has(self.value)': envValue,
  "duration(self) >= duration('1ms')": text(
    (value) => (durationMsFrom(value) ?? 0) >= 1,
    "must be a duration of at least 1ms, as 1s, 500ms or 1m30s.",
  ),
  'has(self.context) ? ((self.context == "WAYPOINT") ? has(self.waypoint) : !has(self.waypoint)) : !has(self.waypoint)':
    about(
      ({ context, waypoint }) => (context === "WAYPOINT") === (waypoint !== undefined),
      "a waypoint match belongs to the context WAYPOINT, and only to it.",
    ),
  "0 < self && self <= 65535": { holds: isPort, message: "must be a port from 1 to 65535." },
  '!((has(self.addresses) ? self.addresses : []).exists(k, k.contains("/")) && !((has(self.resolution) ? self.resolution : "NONE") in ["STATIC", "NONE"]))':
    about(
      ({ addresses, resolution = "NONE" }) =>
        resolution === "STATIC" ||
        resolution === "NONE" ||
        !listOf(addresses).some((item) => String(item).includes("/")),
      "addresses with a prefix go with the resolution NONE or STATIC only.",
    ),
  '((has(self.resolution) ? self.resolution : "NONE") == "NONE") ? !has(self.endpoints) : true': about(
    ({ resolution = "NONE", endpoints }) => resolution !== "NONE" || endpoints === undefined,
    "endpoints need a resolution; say STATIC or DNS.",
  ),
  '((has(self.resolution) ? self.resolution : "") == "DNS_ROUND_ROBIN") ? ((has(self.endpoints) ? self.endpoints : []).size() <= 1) : true':
    about(
      ({ resolution, endpoints }) => resolution !== "DNS_ROUND_ROBIN" || listOf(endpoints).length <= 1,
      "DNS_ROUND_ROBIN takes one endpoint at most; say DNS.",
    ),
  "has(self.address) || has(self.network)": about(
    ({ address, network }) => address !== undefined || network !== undefined,
    "an address is required, or a network.",
  ),
  '(has(self.address) ? self.address : "").startsWith("unix://") ? !has(self.ports) : true': about(
    ({ address, ports }) => !(stringOf(address) ?? "").startsWith("unix://") || ports === undefined,
    "a Unix socket has no ports.",
  ),
  'self.startsWith("unix://") ? (self.substring(7, 8) == "/" || self.substring(7, 8) == "@") : true': text(
    (value) => !value.startsWith("unix://") || value[7] === "/" || value[7] === "@",
    "a Unix socket is an absolute path or an abstract name: unix:///path, unix://@name.",
  ),
  'self.startsWith("unix://") ? !self.endsWith("/") : true': text(
    (value) => !value.startsWith("unix://") || !value.endsWith("/"),
    "a Unix socket is no directory; remove the last slash.",
  ),
  'self.all(key, size(key) < 63 && key.matches("^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$"))': keys(
    (key) => key.length < 63 && /^[a-zA-Z0-9](?:[-a-zA-Z0-9]*[a-zA-Z0-9])?$/.test(key),
    "the name of a port is letters, digits and `-`, fewer than 63.",
  ),
  'self != "*"': text((value) => value !== "*", "`*` is no host here."),
  "self.all(l1, self.exists_one(l2, l1.number == l2.number))": {
    holds: (value) => {
      const numbers = listOf(value).map((item) => fieldsOf(item)["number"]);
      return new Set(numbers).size === numbers.length;
    },
    message: "no two ports may have the same number.",
  },
  'self in ["", "HTTP", "HTTPS"]': text((value) => ["", "HTTP", "HTTPS"].includes(value), "must be HTTP or HTTPS."),
  "(has(self.serviceAccounts) || has(self.notServiceAccounts)) ? (!has(self.principals) &&\n!has(self.notPrincipals) && !has(self.namespaces) && !has(self.notNamespaces)) : true":
    about(
      (source) =>
        (source["serviceAccounts"] === undefined && source["notServiceAccounts"] === undefined) ||
        ["principals", "notPrincipals", "namespaces", "notNamespaces"].every((name) => source[name] === undefined),
      "serviceAccounts can't stand beside principals or namespaces.",
    ),
  "has(self.portLevelMtls) ? (((has(self.selector) && has(self.selector.matchLabels)) ? self.selector.matchLabels : {}).size() > 0) : true":
    about(
      ({ portLevelMtls, selector }) => portLevelMtls === undefined || size(fieldsOf(selector)["matchLabels"]) > 0,
      "portLevelMtls needs a selector with labels: ports are those of workloads.",
    ),
  "self.all(key, 0 < int(key) && int(key) <= 65535)": keys(
    (key) => /^\d+$/.test(key) && isPort(Number(key)),
    "each key must be a port from 1 to 65535.",
  ),
  'url(self).getScheme() in ["http", "https"]': text(
    (value) => URL.canParse(value) && /^https?:\/\//i.test(value),
    "must be a URL of http or https.",
  ),
  '((has(self.operation) ? self.operation : "") == "UPSERT") ? (self.value != "") : true': about(
    ({ operation, value = "" }) => operation !== "UPSERT" || value !== "",
    "UPSERT needs a value.",
  ),
  '((has(self.operation) ? self.operation : "") == "REMOVE") ? !has(self.value) : true': about(
    ({ operation, value }) => operation !== "REMOVE" || value === undefined,
    "REMOVE takes no value.",
  ),
};
