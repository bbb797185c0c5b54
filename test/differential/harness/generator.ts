/** Route tables and requests by chance, from a seed: small words, so that requests often nearly match. */
import type { Json } from "./case.ts";

/** 32 bits at a time; the same seed gives the same numbers (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer in [0, below). */
  below(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }

  /** True once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  some<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.below(max + 1) }, make);
  }
}

const segments = ["a", "b", "ab", "A", "a;p", "%61", "a.b", "..", ".", "", "é", "a%2Fb", "*"] as const;
const values = ["", "a", "b", "ab", "A", "a,b", " a", "1", "42", "-3", "a b"] as const;
const hosts = [
  "a.test",
  "b.a.test",
  "a",
  "A.test",
  "x.a.test:80",
  "b-x.test",
  "test.a",
  "a.test.",
  "a.test.:80",
] as const;
const headerNames = ["x-a", "x-b", "X-C"] as const;
const regexes = [
  "a",
  "a.*",
  ".*b",
  "[ab]+",
  "(?i)A",
  "a|b",
  "\\d+",
  "/a/.*",
  "/[^/]+/b?",
  ".*",
  "/(a|b)(/.*)?",
] as const;

/** A path with a query, mostly of the words that routes are made of. */
export function aPath(chance: Chance): string {
  const path = `/${chance.some(3, () => chance.pick(segments)).join("/")}`;
  return chance.oneIn(2) ? path : `${path}?${aQuery(chance)}`;
}

function aQuery(chance: Chance): string {
  return chance
    .some(3, () => `${chance.pick(["q", "r"])}${chance.pick(["", "=", "=a", "=b", "=1", "=a=b", "=%61"])}`)
    .join("&");
}

function stringMatcher(chance: Chance): Json {
  const kind = chance.pick(["exact", "prefix", "suffix", "contains", "safe_regex"] as const);
  if (kind === "safe_regex") return { safe_regex: { regex: chance.pick(regexes) } };
  const text = chance.pick(values);
  return { [kind]: text === "" && kind !== "exact" ? "a" : text, ...(chance.oneIn(4) ? { ignore_case: true } : {}) };
}

function headerMatcher(chance: Chance): Json {
  const matcher = chance.pick<Json>([
    { present_match: chance.oneIn(2) },
    { string_match: stringMatcher(chance) },
    { string_match: stringMatcher(chance) },
    { range_match: { start: -5, end: 43 } },
    {},
  ]);
  return {
    name: chance.pick([...headerNames, ":method", ":authority", ":path"]),
    ...matcher,
    ...(chance.oneIn(4) ? { invert_match: true } : {}),
    ...(chance.oneIn(5) ? { treat_missing_header_as_empty: true } : {}),
  };
}

function queryMatcher(chance: Chance): Json {
  const matcher = chance.pick<Json>([{ present_match: chance.oneIn(2) }, { string_match: stringMatcher(chance) }, {}]);
  return { name: chance.pick(["q", "r"]), ...matcher };
}

function pathMatch(chance: Chance): Json {
  const bare = `/${chance.some(2, () => chance.pick(["a", "b", "ab", "A"])).join("/")}`;
  const isSensitive = chance.oneIn(4) ? { case_sensitive: false } : {};
  return chance.pick<Json>([
    { prefix: bare, ...isSensitive },
    { prefix: "/" },
    { path: bare, ...isSensitive },
    { safe_regex: { regex: chance.pick(regexes) } },
    { path_separated_prefix: bare === "/" ? "/a" : bare, ...isSensitive },
  ]);
}

function anOption(chance: Chance): Json {
  return {
    header: {
      key: chance.pick(["x-a", "x-new", "x-b"]),
      value: chance.pick(["v", "%REQ(x-a)%", "%REQ(:path)%", "%ROUTE_NAME%", "%PROTOCOL%-%REQ(x-none)%"]),
    },
    append_action: chance.pick([
      "APPEND_IF_EXISTS_OR_ADD",
      "ADD_IF_ABSENT",
      "OVERWRITE_IF_EXISTS_OR_ADD",
      "OVERWRITE_IF_EXISTS",
    ]),
  };
}

function mutations(chance: Chance): Json {
  return {
    request_headers_to_add: chance.some(2, () => anOption(chance)),
    request_headers_to_remove: chance.some(1, () => chance.pick(["x-a", "x-b", "x-c"])),
    response_headers_to_add: chance.some(2, () => anOption(chance)),
  };
}

function action(chance: Chance, name: string, isRegex: boolean): Json {
  switch (chance.below(6)) {
    case 0:
      return { direct_response: { status: 200, body: { inline_string: name } } };
    case 1:
      return {
        redirect: {
          ...chance.pick<Json>([
            { path_redirect: "/new" },
            { prefix_rewrite: "/new" },
            { regex_rewrite: { pattern: { regex: "a" }, substitution: "<\\0>" } },
            {},
          ]),
          ...chance.pick<Json>([{}, { host_redirect: "new.test" }, { port_redirect: 81 }, { https_redirect: true }]),
          strip_query: chance.oneIn(3),
        },
      };
    default:
      return {
        route: {
          cluster: "echo",
          ...chance.pick<Json>([
            {},
            { prefix_rewrite: isRegex ? "/" : chance.pick(["/", "/new", "/new/"]) },
            { regex_rewrite: { pattern: { regex: "(a)(b?)" }, substitution: "\\2\\1" } },
          ]),
          ...chance.pick<Json>([{}, { host_rewrite_literal: "re.test" }, { host_rewrite_header: "x-a" }, {}]),
          ...(chance.oneIn(4) ? { append_x_forwarded_host: true } : {}),
        },
      };
  }
}

function aRoute(chance: Chance, name: string): Json {
  const match = pathMatch(chance);
  return {
    name,
    match: {
      ...match,
      headers: chance.oneIn(2) ? chance.some(2, () => headerMatcher(chance)) : [],
      query_parameters: chance.oneIn(3) ? chance.some(2, () => queryMatcher(chance)) : [],
    },
    ...action(chance, name, "safe_regex" in match),
    ...mutations(chance),
  };
}

/** The fields of a RouteConfiguration; `table` is part of every name. */
export function aRouteTable(chance: Chance, table: string): Json {
  const domains = [...new Set(["a.test", "*.a.test", "a.*", "*-x.test", "b.a.test", "*.test"])].filter(() =>
    chance.oneIn(2),
  );
  const groups = [["*"], ...domains.map((domain) => [domain])];
  return {
    name: table,
    ignore_port_in_host_matching: chance.oneIn(2),
    ignore_path_parameters_in_path_matching: chance.oneIn(3),
    most_specific_header_mutations_wins: chance.oneIn(3),
    ...mutations(chance),
    virtual_hosts: groups.map((group, at) => ({
      name: `${table}-${at}`,
      domains: group,
      ...mutations(chance),
      routes: Array.from({ length: 1 + chance.below(6) }, (_, i) => aRoute(chance, `${table}-${at}-${i}`)),
    })),
  };
}

/** Fields of the connection manager that change requests before they are routed. */
export function aManager(chance: Chance): Json {
  return {
    normalize_path: chance.oneIn(2),
    merge_slashes: chance.oneIn(3),
    // Not what refuses or redirects: which headers of a route such an answer has is a matter of its own.
    path_with_escaped_slashes_action: chance.pick(["KEEP_UNCHANGED", "UNESCAPE_AND_FORWARD"]),
    strip_trailing_host_dot: chance.oneIn(3),
    ...(chance.oneIn(3) ? { strip_any_host_port: true } : {}),
    ...(chance.oneIn(3) ? { use_remote_address: true, xff_num_trusted_hops: chance.below(2) } : {}),
  };
}

/** A request of HTTP/1.1 as text. */
export function aRequest(chance: Chance): string {
  const fields = [
    ...chance.some(4, () => `${chance.pick(headerNames)}: ${chance.pick(values)}\r\n`),
    ...(chance.oneIn(6) ? ["x-forwarded-host: f.test\r\n"] : []),
    ...(chance.oneIn(8) ? ["x-forwarded-proto: https\r\n"] : []),
    ...(chance.oneIn(6) ? [`x-forwarded-for: ${chance.pick(["1.2.3.4", "1.2.3.4, 5.6.7.8", "x", ""])}\r\n`] : []),
  ];
  const method = chance.pick(["GET", "GET", "POST", "PUT"]);
  const length = method === "GET" ? "" : "content-length: 0\r\n";
  const target = Buffer.from(aPath(chance)).toString("latin1");
  return `${method} ${target} HTTP/1.1\r\nhost: ${chance.pick(hosts)}\r\n${fields.join("")}${length}\r\n`;
}
