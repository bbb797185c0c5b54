/** Taking tags out of statistic names: `cluster.a.upstream_rq_200` → `cluster.upstream_rq` with two labels. */
import { RE2JS } from "re2js";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { MessageReader } from "#protos/reader.ts";
import type { StatsConfig } from "#protos/gen/envoy/config/metrics/v3/stats_pb.js";
import type { Labels, Stat } from "./stats-store.ts";

/** A name without its tags, and the tags as labels. */
export interface TaggedName {
  readonly name: string;
  readonly labels: Labels;
}

/** Takes the tags out of a full name; undefined part: where the name is cut. */
export interface TagExtractor {
  readonly tag: string;
  extract(name: string): Extraction | undefined;
}

interface Extraction {
  readonly value: string;
  /** The part of the name that goes, `[start, end)`. */
  readonly start: number;
  readonly end: number;
}

/** Group 1 goes from the name; group 2, or else group 1, is the value. `prefix` spares most names the expression. */
interface DefaultTag {
  readonly tag: string;
  readonly regex: RegExp;
  readonly needs: string;
}

const ADDRESS = String.raw`(?:(?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-fA-F_.]*\])_\d+`;

/** Envoy's well-known tags, in the order in which labels appear. */
const DEFAULTS: readonly DefaultTag[] = [
  { tag: "envoy_response_code", regex: /_rq(_(\d{3}))$/d, needs: "_rq_" },
  { tag: "envoy_response_code_class", regex: /_rq_((\d))xx$/d, needs: "_rq_" },
  { tag: "envoy_http_user_agent", regex: /^http\.(?:[^.]+)\.user_agent\.(([^.]+)\.)/d, needs: ".user_agent." },
  { tag: "envoy_ssl_cipher", regex: /^listener\..*?\.ssl\.ciphers(\.(.*))$/d, needs: ".ssl.ciphers." },
  { tag: "envoy_ssl_cipher_suite", regex: /^cluster\..*?\.ssl\.ciphers(\.(.*))$/d, needs: ".ssl.ciphers." },
  { tag: "envoy_ssl_curve", regex: /^(?:listener|cluster)\..*?\.ssl\.curves(\.(.*))$/d, needs: ".ssl.curves." },
  { tag: "envoy_ssl_sigalg", regex: /^(?:listener|cluster)\..*?\.ssl\.sigalgs(\.(.*))$/d, needs: ".ssl.sigalgs." },
  { tag: "envoy_ssl_version", regex: /^(?:listener|cluster)\..*?\.ssl\.versions(\.(.*))$/d, needs: ".ssl.versions." },
  {
    tag: "envoy_grpc_bridge_method",
    regex: /^cluster\.(?:.*?)\.grpc\.(?:[^.]+(?:\.[^.]+)*)\.(([^.]+)\.)[^.]+$/d,
    needs: ".grpc.",
  },
  { tag: "envoy_grpc_bridge_service", regex: /^cluster\.(?:.*?)\.grpc\.((.*)\.)[^.]+\.[^.]+$/d, needs: ".grpc." },
  { tag: "envoy_rds_route_config", regex: /^http\.(?:.*?)\.rds\.((.*)\.)[^.]+$/d, needs: ".rds." },
  { tag: "envoy_virtual_cluster", regex: /^vhost\..*?\.vcluster\.((.*)\.)[^.]+$/d, needs: ".vcluster." },
  { tag: "envoy_route", regex: /^vhost\..*?\.route\.((.*)\.)[^.]+$/d, needs: ".route." },
  { tag: "envoy_virtual_host", regex: /^vhost\.((.*?)\.)(?:vcluster|route)\./d, needs: "vhost." },
  { tag: "envoy_fault_downstream_cluster", regex: /^http\.(?:.*?)\.fault\.((.*)\.)[^.]+$/d, needs: ".fault." },
  { tag: "envoy_rbac_prefix", regex: /^http\.(?:[^.]+)\.rbac\.((.*)\.)[^.]+$/d, needs: ".rbac." },
  { tag: "envoy_ext_authz_prefix", regex: /\.ext_authz\.(([^.]+)\.)[^.]+$/d, needs: ".ext_authz." },
  {
    tag: "envoy_local_http_ratelimit_prefix",
    regex: /^(([^.]+)\.)http_local_rate_limit\./d,
    needs: ".http_local_rate_limit.",
  },
  { tag: "envoy_http_conn_manager_prefix", regex: /^(?:listener\..*?\.)?http\.(([^.]+)\.)/d, needs: "http." },
  { tag: "envoy_worker_id", regex: /\.worker_((\d+)\.)/d, needs: ".worker_" },
  {
    tag: "envoy_listener_address",
    regex: new RegExp(String.raw`^listener\.((${ADDRESS})\.)`, "d"),
    needs: "listener.",
  },
  { tag: "envoy_cluster_name", regex: /^cluster\.(([^.]+)\.)/d, needs: "cluster." },
  { tag: "envoy_tcp_prefix", regex: /^tcp\.(([^.]+)\.)/d, needs: "tcp." },
];

/** Names of tags that Envoy knows by itself, for `stats_tags` entries without a regex. */
const DEFAULT_TAG_NAMES: ReadonlySet<string> = new Set(DEFAULTS.map(({ tag }) => tag.replace("_", ".")));

/** What `stats_config` says about tags. */
export interface TagRules {
  readonly extractors: readonly TagExtractor[];
  /** Labels that every statistic has (`fixed_value`). */
  readonly fixed: Labels;
}

/** The rules of a bootstrap without `stats_config`. */
export function defaultTagRules(): TagRules {
  return { extractors: DEFAULTS.map(defaultExtractor), fixed: [] };
}

/** Reads `stats_tags` and `use_all_default_tags`. */
export function parseTagRules(reader: MessageReader<StatsConfig>): TagRules {
  const useDefaults = reader.get("useAllDefaultTags") ?? true;
  const extractors: TagExtractor[] = [];
  const fixed: [string, string][] = [];
  for (const specifier of reader.children("statsTags")) {
    const tag = specifier.get("tagName");
    const value = specifier.get("tagValue");
    specifier.finish();
    if (value.case === "fixedValue") fixed.push([sanitized(tag), value.value]);
    else if (value.case === "regex" && value.value !== "") {
      const compiled = regexExtractor(sanitized(tag), value.value, specifier.at("tagValue"));
      reader.problems.push(...compiled.problems);
      if (compiled.value !== undefined) extractors.push(compiled.value);
    } else if (!DEFAULT_TAG_NAMES.has(tag)) {
      specifier.invalid("tagName", `No regex specified for tag specifier and no default regex for name: '${tag}'`);
    } else if (!useDefaults) {
      extractors.push(...DEFAULTS.filter(({ tag: known }) => known === sanitized(tag)).map(defaultExtractor));
    }
  }
  return { extractors: [...extractors, ...(useDefaults ? defaultTagRules().extractors : [])], fixed };
}

function defaultExtractor({ tag, regex, needs }: DefaultTag): TagExtractor {
  return {
    tag,
    extract(name) {
      if (!name.includes(needs)) return undefined;
      const match = regex.exec(name);
      const part = match?.indices?.[1];
      if (match === null || part === undefined) return undefined;
      return { value: match[2] ?? match[1] ?? "", start: part[0], end: part[1] };
    },
  };
}

function regexExtractor(tag: string, pattern: string, path: string): Parsed<TagExtractor> {
  let regex: RE2JS;
  try {
    regex = RE2JS.compile(pattern);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { problems: [problem(path, `${reason} (RE2 syntax)`)] };
  }
  if (regex.groupCount() < 1)
    return { problems: [problem(path, `the regex ${pattern} needs a group: the part that is taken from the name`)] };
  const literal = literalPrefix(pattern);
  return {
    value: {
      tag,
      extract(name) {
        if (!name.startsWith(literal)) return undefined;
        const matcher = regex.matcher(name);
        if (!matcher.find() || matcher.group(1) === null) return undefined;
        const value = regex.groupCount() > 1 ? matcher.group(2) : matcher.group(1);
        return { value: value ?? "", start: matcher.start(1), end: matcher.end(1) };
      },
    },
    problems: [],
  };
}

/** What a match of an anchored pattern surely begins with; empty when nothing is sure. */
export function literalPrefix(pattern: string): string {
  if (!pattern.startsWith("^") || pattern.includes("|")) return "";
  const literal = /^\^((?:[A-Za-z0-9_]|\\\.)*)([*+?{]?)/.exec(pattern);
  const text = (literal?.[1] ?? "").replaceAll("\\.", ".");
  return literal?.[2] === "" ? text : text.slice(0, -1);
}

function problem(path: string, message: string): Problem {
  return { code: "invalid-value", level: "error", path, message };
}

/** Prometheus takes letters, digits and underscores. */
export function sanitized(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9_]/g, "_");
}

/** Names with their tags taken out; remembered as long as the statistic lives. */
export function createTagger(rules: TagRules): (stat: Stat) => TaggedName {
  const known = new WeakMap<Stat, TaggedName>();
  return (stat) => {
    let tagged = known.get(stat);
    if (tagged === undefined) {
      tagged = tagsOf(stat, rules);
      known.set(stat, tagged);
    }
    return tagged;
  };
}

function tagsOf(stat: Stat, rules: TagRules): TaggedName {
  if (stat.labelled !== undefined) return { name: stat.labelled.metric, labels: stat.labelled.labels };
  const { name } = stat;
  const cuts: Extraction[] = [];
  const labels: [string, string][] = [];
  for (const extractor of rules.extractors) {
    const { tag } = extractor;
    if (labels.some(([known]) => known === tag)) continue;
    const found = extractor.extract(name);
    if (found === undefined) continue;
    cuts.push(found);
    labels.push([tag, found.value]);
  }
  return { name: without(name, cuts), labels: [...labels, ...rules.fixed] };
}

function without(name: string, cuts: Extraction[]): string {
  let out = "";
  let at = 0;
  for (const { start, end } of cuts.sort((a, b) => a.start - b.start)) {
    if (start > at) out += name.slice(at, start);
    at = Math.max(at, end);
  }
  return out + name.slice(at);
}
