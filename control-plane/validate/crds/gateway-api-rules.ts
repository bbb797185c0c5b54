/**
 * The rules of the Gateway API's CRDs, as `rules.ts` has Istio's. An API server fills in defaults before it asks them; so the
 * predicates know the defaults.
 */
import { durationMsFrom } from "../../model/duration.ts";
import { ipFamily } from "../../model/ip.ts";
import { type Fields, fieldsOf, listOf, numberOf, stringOf, stringsOf } from "../../model/read-fields.ts";
import type { CrdRule } from "./crd-schema.ts";

type Row = readonly [expression: string, rule: CrdRule];

const about = (holds: (fields: Fields) => boolean, message: string): CrdRule => ({
  holds: (value) => holds(fieldsOf(value)),
  message,
});
const items = (holds: (list: readonly Fields[]) => boolean, message: string): CrdRule => ({
  holds: (value) => holds(listOf(value).map(fieldsOf)),
  message,
});
const hosts = (holds: (host: string) => boolean, message: string): CrdRule => ({
  holds: (value) => stringsOf(value).every(holds),
  message,
});

const areUnique = (keys: readonly (string | undefined)[]): boolean => new Set(keys).size === keys.length;
const textOf = (value: unknown): string => stringOf(value) ?? "";
const keyOf = (fields: Fields, names: readonly string[]): string =>
  JSON.stringify(names.map((name) => fields[name] ?? ""));

const LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const hostname = new RegExp(`^${LABEL}(\\.${LABEL})*$`, "u");
const addressHost = new RegExp(`^(\\*\\.)?${LABEL}(\\.${LABEL})*$`, "u");

/** The fields of a filter belong to its type. */
const filterFields: readonly Row[] = (
  [
    ["cors", "CORS"],
    ["requestHeaderModifier", "RequestHeaderModifier"],
    ["responseHeaderModifier", "ResponseHeaderModifier"],
    ["requestMirror", "RequestMirror"],
    ["requestRedirect", "RequestRedirect"],
    ["urlRewrite", "URLRewrite"],
    ["extensionRef", "ExtensionRef"],
    ["externalAuth", "ExternalAuth"],
  ] as const
).flatMap(([field, type]): readonly Row[] => [
  [
    `!(has(self.${field}) && self.type != '${type}')`,
    about(
      (filter) => filter[field] === undefined || filter["type"] === type,
      `${field} belongs to filters of type ${type}.`,
    ),
  ],
  [
    `!(!has(self.${field}) && self.type == '${type}')`,
    about(
      (filter) => filter[field] !== undefined || filter["type"] !== type,
      `a filter of type ${type} needs ${field}.`,
    ),
  ],
]);

const onceOnly: readonly Row[] = [
  "CORS",
  "RequestHeaderModifier",
  "ResponseHeaderModifier",
  "RequestRedirect",
  "URLRewrite",
].map((type) => [
  `self.filter(f, f.type == '${type}').size() <= 1`,
  items(
    (filters) => filters.filter((item) => item["type"] === type).length <= 1,
    `only one filter of type ${type} may be set.`,
  ),
]);

/** `type` (or `protocol`) names the field that is set. */
const choices: readonly Row[] = (
  [
    ["type", "ReplaceFullPath", "replaceFullPath"],
    ["type", "ReplacePrefixMatch", "replacePrefixMatch"],
    ["protocol", "GRPC", "grpc"],
    ["protocol", "HTTP", "http"],
  ] as const
).flatMap(([by, name, field]): readonly Row[] => [
  [
    `self.${by} == '${name}' ? has(self.${field}) : true`,
    about((fields) => fields[by] !== name || fields[field] !== undefined, `with ${by} ${name} set ${field}.`),
  ],
  [
    `has(self.${field}) ? self.${by} == '${name}' : true`,
    about((fields) => fields[field] === undefined || fields[by] === name, `${field} goes with ${by} ${name}.`),
  ],
]);

const isWritten = (value: unknown): boolean => value !== undefined && value !== "";

const subjectNames: readonly Row[] = (
  [
    ["Hostname", "hostname"],
    ["URI", "uri"],
  ] as const
).flatMap(([type, field]): readonly Row[] => [
  [
    `!(self.type == "${type}" && (!has(self.${field}) || self.${field} == ""))`,
    about((fields) => fields["type"] !== type || isWritten(fields[field]), `with type ${type} set ${field}.`),
  ],
  [
    `!(self.type != "${type}" && has(self.${field}) && self.${field} != "")`,
    about((fields) => fields["type"] === type || !isWritten(fields[field]), `${field} goes with type ${type}.`),
  ],
]);

const isLiteral = ({ type }: Fields): boolean => type === undefined || type === "Exact" || type === "PathPrefix";
const literalPath = (holds: (path: string) => boolean, message: string): CrdRule =>
  about((path) => !isLiteral(path) || holds(stringOf(path["value"]) ?? "/"), message);
const LITERAL = "(self.type in ['Exact','PathPrefix']) ?";

const paths: readonly Row[] = [
  [
    `${LITERAL} self.value.startsWith('/') : true`,
    literalPath((path) => path.startsWith("/"), "a path begins with /."),
  ],
  ...["//", "/./", "/../", "%2f", "%2F", "#"].map((part): Row => [
    `${LITERAL} !self.value.contains('${part}') : true`,
    literalPath((path) => !path.includes(part), `a path must not contain ${part}.`),
  ]),
  ...["/..", "/."].map((end): Row => [
    `${LITERAL} !self.value.endsWith('${end}') : true`,
    literalPath((path) => !path.endsWith(end), `a path must not end with ${end}.`),
  ]),
  [
    `${LITERAL} self.value.matches(r"""^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$""") : true`,
    literalPath(
      (path) => /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/u.test(path),
      "a path has only characters that a URL may have; write others as %xx.",
    ),
  ],
  [
    "self.type in ['Exact','PathPrefix'] || self.type == 'RegularExpression'",
    about(
      (path) => isLiteral(path) || path["type"] === "RegularExpression",
      "type must be Exact, PathPrefix or RegularExpression.",
    ),
  ],
];

/** Replacing a prefix needs exactly one match, by prefix; a rule without matches has one for `/`. */
const replacesPrefix = (filters: unknown, name: string): boolean =>
  listOf(filters).some((filter) => {
    const path = fieldsOf(fieldsOf(fieldsOf(filter)[name])["path"]);
    return path["type"] === "ReplacePrefixMatch" && path["replacePrefixMatch"] !== undefined;
  });
const hasOnePrefix = ({ matches }: Fields): boolean => {
  const [only, more] = matches === undefined ? [{}] : listOf(matches).map(fieldsOf);
  return only !== undefined && more === undefined && (fieldsOf(only["path"])["type"] ?? "PathPrefix") === "PathPrefix";
};
const NOT_ONE_PREFIX =
  "((size(self.matches) != 1 || !has(self.matches[0].path) || self.matches[0].path.type != 'PathPrefix') ? false : true) : true";

const prefixes: readonly Row[] = ["requestRedirect", "urlRewrite"].flatMap((name): readonly Row[] => {
  const found = `self.FILTERS.exists_one(f, has(f.${name}) && has(f.${name}.path) && f.${name}.path.type == 'ReplacePrefixMatch' && has(f.${name}.path.replacePrefixMatch))`;
  const message = `${name} with replacePrefixMatch needs exactly one match of the rule, of type PathPrefix.`;
  const ofRule = found.replace("self.FILTERS", "self.filters");
  const ofBackend = found.replace("self.FILTERS", "b.filters");
  return [
    [
      `(has(self.filters) && ${ofRule}) ? ${NOT_ONE_PREFIX}`,
      about((rule) => !replacesPrefix(rule["filters"], name) || hasOnePrefix(rule), message),
    ],
    [
      `(has(self.backendRefs) && self.backendRefs.exists_one(b, (has(b.filters) && ${ofBackend}) )) ? ${NOT_ONE_PREFIX}`,
      about(
        (rule) =>
          !listOf(rule["backendRefs"]).some((ref) => replacesPrefix(fieldsOf(ref)["filters"], name)) ||
          hasOnePrefix(rule),
        message,
      ),
    ],
  ];
});

/** CEL has no sum: the CRDs add up sixteen rules by hand. */
const MAX_MATCHES = 128;
const sumOf = (term: (rule: string) => string): string =>
  `${Array.from({ length: 16 }, (_, index) => `(self.size() > ${index} ? ${term(`self[${index}]`)} : 0)`).join(" + ")} <= ${MAX_MATCHES}`;
const fewMatches = items(
  (rules) => rules.reduce((sum, { matches }) => sum + listOf(matches).length, 0) <= MAX_MATCHES,
  `all rules together have at most ${MAX_MATCHES} matches.`,
);

const PARENT = ["group", "kind", "name", "namespace"];
const TARGET = ["group", "kind", "name"];
const sameObject = "p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name";
const sameNamespace = (end: string): string =>
  `(((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == '')) || (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__${end}))`;
const sections = (space: string): string =>
  `(((!has(p1.sectionName) || p1.sectionName == '') && (!has(p2.sectionName) || p2.sectionName == '')) || (${space}has(p1.sectionName) && has(p2.sectionName) && p1.sectionName == p2.sectionName))`;
const bothSections = "(!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')";

/** References to one thing either all say which part of it they mean, or there is only one. */
const sameParts = (list: readonly Fields[], names: readonly string[]): boolean => {
  const partsOf = ({ sectionName, port }: Fields): string =>
    `${textOf(sectionName) !== ""} ${(numberOf(port) ?? 0) > 0}`;
  return [...Map.groupBy(list, (item) => keyOf(item, names)).values()].every(
    (own) => new Set(own.map(partsOf)).size === 1,
  );
};

const references: readonly Row[] = [
  [
    `self.all(p1, self.all(p2, ${sameObject} && ${sameNamespace("")} ? (${bothSections} && (!has(p1.port) || p1.port == 0) == (!has(p2.port) || p2.port == 0)): true))`,
    items(
      (list) => sameParts(list, PARENT),
      "of several references to one parent each must say its sectionName or port.",
    ),
  ],
  [
    `self.all(p1, self.exists_one(p2, ${sameObject} && ${sameNamespace(" ")} && ${sections(" ")} && (((!has(p1.port) || p1.port == 0) && (!has(p2.port) || p2.port == 0)) || (has(p1.port) && has(p2.port) && p1.port == p2.port))))`,
    items(
      (list) => areUnique(list.map((item) => keyOf(item, [...PARENT, "sectionName", "port"]))),
      "no two parentRefs may mean the same.",
    ),
  ],
  [
    `self.all(p1, self.all(p2, ${sameObject} ? (${bothSections}) : true))`,
    items((list) => sameParts(list, TARGET), "of several references to one target each must say its sectionName."),
  ],
  [
    `self.all(p1, self.exists_one(p2, ${sameObject} && ${sections("")}))`,
    items(
      (list) => areUnique(list.map((item) => keyOf(item, [...TARGET, "sectionName"]))),
      "no two targetRefs may mean the same.",
    ),
  ],
  [
    "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
    about(
      ({ group, kind = "Service", port }) => textOf(group) !== "" || kind !== "Service" || port !== undefined,
      "a reference to a Service needs a port.",
    ),
  ],
];

const listeners: readonly Row[] = [
  [
    "self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP'] ? !has(l.tls) : true)",
    items(
      (list) =>
        list.every(({ protocol, tls }) => !["HTTP", "TCP", "UDP"].includes(textOf(protocol)) || tls === undefined),
      "tls goes with the protocols HTTPS and TLS.",
    ),
  ],
  [
    "self.all(l, (l.protocol == 'HTTPS' && has(l.tls)) ? (l.tls.mode == '' || l.tls.mode == 'Terminate') : true)",
    items(
      (list) =>
        list.every(
          ({ protocol, tls }) =>
            protocol !== "HTTPS" || ["", "Terminate"].includes(stringOf(fieldsOf(tls)["mode"]) ?? "Terminate"),
        ),
      "with the protocol HTTPS the tls mode is Terminate; say TLS to pass it through.",
    ),
  ],
  [
    "self.all(l, (l.protocol == 'TLS' ? has(l.tls) && has(l.tls.mode) && l.tls.mode != '' : true))",
    items(
      (list) =>
        list.every(({ protocol, tls }) => protocol !== "TLS" || (tls !== undefined && fieldsOf(tls)["mode"] !== "")),
      "with the protocol TLS set tls.mode.",
    ),
  ],
  [
    "self.all(l, l.protocol in ['TCP', 'UDP']  ? (!has(l.hostname) || l.hostname == '') : true)",
    items(
      (list) =>
        list.every(({ protocol, hostname: host }) => !["TCP", "UDP"].includes(textOf(protocol)) || !isWritten(host)),
      "hostname does not go with the protocols TCP and UDP.",
    ),
  ],
  [
    "self.all(l1, self.exists_one(l2, l1.name == l2.name))",
    items((list) => areUnique(list.map(({ name }) => textOf(name))), "each listener needs a name of its own."),
  ],
  [
    "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))",
    items(
      (list) => areUnique(list.map((listener) => keyOf(listener, ["port", "protocol", "hostname"]))),
      "no two listeners may have the same port, protocol and hostname.",
    ),
  ],
  [
    "self.mode == 'Terminate' ? size(self.certificateRefs) > 0 || size(self.options) > 0 : true",
    about(
      ({ mode = "Terminate", certificateRefs, options }) =>
        mode !== "Terminate" || listOf(certificateRefs).length > 0 || Object.keys(fieldsOf(options)).length > 0,
      "to terminate TLS set certificateRefs, or options.",
    ),
  ],
  [
    "self.all(t1, self.exists_one(t2, t1.port == t2.port))",
    items((list) => areUnique(list.map((item) => keyOf(item, ["port"]))), "each port may be named once."),
  ],
  ...["IPAddress", "Hostname"].map((type): Row => [
    `self.all(a1, a1.type == '${type}' ${type === "Hostname" ? " " : ""}&& has(a1.value) ? self.exists_one(a2, a2.type == a1.type && has(a2.value) && a2.value == a1.value) : true )`,
    items((list) => {
      const own = list.filter((item) => (item["type"] ?? "IPAddress") === type && item["value"] !== undefined);
      return areUnique(own.map(({ value }) => textOf(value)));
    }, `each address of type ${type} may be named once.`),
  ]),
  [
    `self.type == 'Hostname' ? (!has(self.value) || self.value.matches(r"""^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$""")): true`,
    about(
      ({ type, value }) => type !== "Hostname" || value === undefined || addressHost.test(textOf(value)),
      "an address of type Hostname is a host name.",
    ),
  ],
  [
    "self.type == 'IPAddress' ? isIP(self.value) : true",
    about(
      ({ type = "IPAddress", value }) => type !== "IPAddress" || value === undefined || ipFamily(textOf(value)) !== 0,
      "an address of type IPAddress is an IP; say type: Hostname for a name.",
    ),
  ],
];

const annotations: readonly Row[] = [
  [
    'self.all(key, key.matches(r"""^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$"""))',
    about(
      (fields) =>
        Object.keys(fields).every((key) =>
          /^(?:[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*\/)?(?:[A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$/u.test(
            key,
          ),
        ),
      "a key is a name of up to 63 letters, digits, `-`, `_` and `.`, perhaps after a domain and a slash.",
    ),
  ],
  [
    'self.all(key, key.split("/")[0].size() < 253)',
    about(
      (fields) => Object.keys(fields).every((key) => (key.split("/")[0] ?? "").length < 253),
      "the domain of a key has less than 253 characters.",
    ),
  ],
];

const rest: readonly Row[] = [
  [
    "self.all(l1, !has(l1.name) || self.exists_one(l2, has(l2.name) && l1.name == l2.name))",
    items(
      (rules) => areUnique(rules.map(({ name }) => stringOf(name)).filter((name) => name !== undefined)),
      "each rule needs a name of its own, or none.",
    ),
  ],
  [
    "(has(self.backendRefs) && size(self.backendRefs) > 0) ? (!has(self.filters) || self.filters.all(f, !has(f.requestRedirect))): true",
    about(
      ({ backendRefs, filters }) =>
        listOf(backendRefs).length === 0 || !listOf(filters).some((item) => "requestRedirect" in fieldsOf(item)),
      "a rule that redirects has no backendRefs.",
    ),
  ],
  [
    "!(self.exists(f, f.type == 'RequestRedirect') && self.exists(f, f.type == 'URLRewrite'))",
    items((filters) => {
      const types = new Set(filters.map(({ type }) => type));
      return !(types.has("RequestRedirect") && types.has("URLRewrite"));
    }, "set only one of the filters RequestRedirect and URLRewrite."),
  ],
  [
    "!('*' in self && self.size() > 1)",
    { holds: (value) => listOf(value).length <= 1 || !listOf(value).includes("*"), message: "`*` stands alone." },
  ],
  [
    "!(has(self.percent) && has(self.fraction))",
    about(
      ({ percent, fraction }) => percent === undefined || fraction === undefined,
      "set only one of percent and fraction.",
    ),
  ],
  [
    "self.numerator <= self.denominator",
    about(
      ({ numerator, denominator }) => (numberOf(numerator) ?? 0) <= (numberOf(denominator) ?? 100),
      "numerator must be at most denominator (100).",
    ),
  ],
  [
    "!has(self.cookieConfig) || !has(self.cookieConfig.lifetimeType) || self.cookieConfig.lifetimeType != 'Permanent' || has(self.absoluteTimeout)",
    about(
      ({ cookieConfig, absoluteTimeout }) =>
        fieldsOf(cookieConfig)["lifetimeType"] !== "Permanent" || absoluteTimeout !== undefined,
      "a permanent cookie needs absoluteTimeout.",
    ),
  ],
  [
    "!has(self.cookieConfig) || self.type == 'Cookie'",
    about(
      ({ cookieConfig, type = "Cookie" }) => cookieConfig === undefined || type === "Cookie",
      "cookieConfig goes with the type Cookie.",
    ),
  ],
  [
    "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
    about(({ request, backendRequest }) => {
      const whole = durationMsFrom(request) ?? 0;
      return whole === 0 || (durationMsFrom(backendRequest) ?? 0) <= whole;
    }, "backendRequest must not be longer than request."),
  ],
  [
    "has(self.type) ? has(self.service) || has(self.method) : true",
    about(({ service, method }) => service !== undefined || method !== undefined, "set service, method, or both."),
  ],
  [
    `(!has(self.type) || self.type == 'Exact') && has(self.service) ? self.service.matches(r"""^(?i)\\.?[a-z_][a-z_0-9]*(\\.[a-z_][a-z_0-9]*)*$"""): true`,
    about(
      ({ type = "Exact", service }) =>
        type !== "Exact" || service === undefined || /^\.?[a-z_]\w*(?:\.[a-z_]\w*)*$/i.test(textOf(service)),
      "service is a name as package.Service.",
    ),
  ],
  [
    `(!has(self.type) || self.type == 'Exact') && has(self.method) ? self.method.matches(r"""^[A-Za-z_][A-Za-z_0-9]*$"""): true`,
    about(
      ({ type = "Exact", method }) => type !== "Exact" || method === undefined || /^[a-z_]\w*$/i.test(textOf(method)),
      "method is a name of letters, digits and `_`.",
    ),
  ],
  ["self.all(h, !isIP(h))", hosts((host) => ipFamily(host) === 0, "a hostname is no IP.")],
  [
    "self.all(h, !h.contains('*') ? h.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$') : true)",
    hosts((host) => host.includes("*") || hostname.test(host), "a hostname has letters a-z, digits, `-` and dots."),
  ],
  [
    "self.all(h, h.contains('*') ? (h.startsWith('*.') && h.substring(2).matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$')) : true)",
    hosts(
      (host) => !host.includes("*") || (host.startsWith("*.") && hostname.test(host.slice(2))),
      "a wildcard is the whole first label: *.example.com.",
    ),
  ],
  [
    '!(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 && has(self.wellKnownCACertificates) && self.wellKnownCACertificates != "")',
    about(
      ({ caCertificateRefs, wellKnownCACertificates }) =>
        listOf(caCertificateRefs).length === 0 || !isWritten(wellKnownCACertificates),
      "set only one of caCertificateRefs and wellKnownCACertificates.",
    ),
  ],
  [
    '(has(self.caCertificateRefs) && size(self.caCertificateRefs) > 0 || has(self.wellKnownCACertificates) && self.wellKnownCACertificates != "")',
    about(
      ({ caCertificateRefs, wellKnownCACertificates }) =>
        listOf(caCertificateRefs).length > 0 || isWritten(wellKnownCACertificates),
      "set caCertificateRefs or wellKnownCACertificates.",
    ),
  ],
];

/** By the expression as the CRD writes it. */
export const gatewayApiRules: Readonly<Record<string, CrdRule>> = Object.fromEntries([
  ...filterFields,
  ...onceOnly,
  ...choices,
  ...subjectNames,
  ...paths,
  ...prefixes,
  ...references,
  ...listeners,
  ...annotations,
  ...rest,
  [sumOf((rule) => `${rule}.matches.size()`), fewMatches],
  [sumOf((rule) => `(has(${rule}.matches) ? ${rule}.matches.size() : 0)`), fewMatches],
]);
