/** Linkerd's ServiceProfile → a VirtualService with its routes, timeouts and retries, and the budget of these. */
import type { Problem } from "#lib/problem.ts";
import { generatedObject } from "../gateway-api/generated.ts";
import { durationMsFrom } from "../model/duration.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, listOf, numberOf, stringOf, stringsOf, type Fields } from "../model/read-fields.ts";
import { finding, type OtherApi } from "./other-api.ts";

const GROUP = "linkerd.io";

/** Linkerd tries again as long as the budget lets it; Envoy wants a number. */
const ATTEMPTS = 10;

export const serviceProfile: OtherApi = {
  kinds: [{ group: GROUP, kind: "ServiceProfile" }],
  convert(mesh) {
    const results = mesh.objects(`${GROUP}/ServiceProfile`).map((object) => convertProfile(mesh, object));
    return {
      generated: results.flatMap(({ generated }) => generated),
      problems: results.flatMap(({ problems }) => problems),
    };
  },
};

interface Converted {
  readonly generated: readonly MeshObject[];
  readonly problems: readonly Problem[];
}

/** The object's name is the host that it is for. */
function convertProfile(mesh: MeshIndex, object: MeshObject): Converted {
  const { name: host, namespace } = object.metadata;
  const problems: Problem[] = [];
  const report = (path: string, message: string): void => void problems.push(finding(object, path, message));
  const spec = fieldsOf(object.spec);
  const rules = listOf(spec["routes"])
    .map(fieldsOf)
    .flatMap((route, index) => ruleOf(route, host, `spec.routes[${index}]`, report) ?? []);
  for (const [field, why] of Object.entries(WITHOUT_EFFECT))
    if (spec[field] !== undefined) report(`spec.${field}`, why);
  const names = new Set([host, host.replace(/\.svc\.cluster\.local$/, ""), host.split(".")[0]]);
  const rival = (kind: string, namesOf: (spec: Fields) => readonly string[]): MeshObject | undefined =>
    mesh
      .objects(kind)
      .find(
        (other) =>
          other.metadata.namespace === namespace && namesOf(fieldsOf(other.spec)).some((item) => names.has(item)),
      );
  const routed = rival("VirtualService", ({ hosts }) => stringsOf(hosts));
  if (routed !== undefined)
    report("spec.routes", `has no effect: the VirtualService ${routed.metadata.name} routes ${host}.`);
  const budget = budgetOf(spec, rules, report);
  const ruled = budget === undefined ? undefined : rival("DestinationRule", (other) => [stringOf(other["host"]) ?? ""]);
  if (ruled !== undefined) {
    report(
      "spec.retryBudget",
      `has no effect: the DestinationRule ${ruled.metadata.name} is for ${host}; write trafficPolicy.retryBudget there.`,
    );
  }
  const common = { name: `${host}-service-profile`, namespace, origins: [object], annotations: {} };
  const routes = { hosts: [host], http: [...rules.map(({ rule }) => rule), { route: [{ destination: { host } }] }] };
  return {
    problems,
    generated: [
      ...(routed === undefined && rules.length > 0
        ? [generatedObject({ ...common, kind: "VirtualService" as const, spec: routes })]
        : []),
      ...(budget !== undefined && ruled === undefined
        ? [
            generatedObject({
              ...common,
              kind: "DestinationRule" as const,
              spec: { host, trafficPolicy: { retryBudget: budget } },
            }),
          ]
        : []),
    ],
  };
}

const WITHOUT_EFFECT: Readonly<Record<string, string>> = {
  dstOverrides: "has no effect here: split traffic with the weights of a VirtualService or an HTTPRoute.",
  opaquePorts: "has no effect here: name the port tcp, or set its appProtocol.",
};

interface Rule {
  readonly rule: Fields;
  readonly budget: Fields | undefined;
}

type Report = (path: string, message: string) => void;

function ruleOf(route: Fields, host: string, path: string, report: Report): Rule | undefined {
  const match = matchesOf(fieldsOf(route["condition"]));
  if (match === undefined) {
    report(
      `${path}.condition`,
      "can't be said by a VirtualService (`not`, or `all` that names a field twice); the route is left out.",
    );
    return undefined;
  }
  const timeout = stringOf(route["timeout"]);
  if (timeout !== undefined && durationMsFrom(timeout) === undefined) {
    report(`${path}.timeout`, `must be a duration, as 300ms or 5s, found ${JSON.stringify(timeout)}; it is left out.`);
  }
  const retries = fieldsOf(route["retries"]);
  const most = numberOf(retries["maxRetries"]);
  const isRetried = route["isRetryable"] === true || most !== undefined;
  const name = stringOf(route["name"]);
  return {
    rule: {
      ...(name === undefined ? {} : { name }),
      match,
      ...(timeout !== undefined && durationMsFrom(timeout) !== undefined ? { timeout } : {}),
      retries: isRetried ? { attempts: most ?? ATTEMPTS, retryOn: failuresOf(route, path, report) } : { attempts: 0 },
      route: [{ destination: { host } }],
    },
    budget: [route["retryBudget"], retries["budget"]].map(fieldsOf).find((item) => Object.keys(item).length > 0),
  };
}

/** Undefined for what has no form there. Several are alternatives; an empty condition matches all. */
function matchesOf(condition: Fields): readonly Fields[] | undefined {
  const { any, all, not, method, pathRegex } = condition;
  if (not !== undefined) return undefined;
  if (any !== undefined) {
    const parts = listOf(any).map((item) => matchesOf(fieldsOf(item)));
    return parts.every((part) => part !== undefined) ? parts.flat() : undefined;
  }
  if (all !== undefined) {
    let joined: Fields = {};
    for (const part of listOf(all).map((item) => matchesOf(fieldsOf(item)))) {
      const [only, ...more] = part ?? [];
      if (only === undefined || more.length > 0 || Object.keys(only).some((key) => key in joined)) return undefined;
      joined = { ...joined, ...only };
    }
    return [joined];
  }
  return [
    {
      ...(typeof method === "string" ? { method: { exact: method } } : {}),
      ...(typeof pathRegex === "string" ? { uri: { regex: pathRegex } } : {}),
    },
  ];
}

/** Response classes that say what is a failure; without any it is 5xx. */
function failuresOf(route: Fields, path: string, report: Report): string {
  const classes = listOf(route["responseClasses"]).map(fieldsOf);
  const failed = new Set<number>(classes.some(({ isFailure }) => isFailure === true) ? [] : range(500, 599));
  for (const [index, item] of classes.toReversed().entries()) {
    const status = fieldsOf(fieldsOf(item["condition"])["status"]);
    const [min, max] = [numberOf(status["min"]), numberOf(status["max"])];
    if (min === undefined && max === undefined) {
      report(
        `${path}.responseClasses[${classes.length - 1 - index}].condition`,
        "is not a range of status codes, and has no effect.",
      );
      continue;
    }
    for (const code of range(min ?? max ?? 0, max ?? min ?? 0)) {
      if (item["isFailure"] === true) failed.add(code);
      else failed.delete(code);
    }
  }
  const server = range(500, 599);
  const isServers = server.every((code) => failed.has(code));
  const others = [...failed].filter((code) => !isServers || code < 500 || code > 599).toSorted((a, b) => a - b);
  return [...(isServers ? ["5xx"] : []), ...others.map(String)].join(",") || "connect-failure";
}

function range(min: number, max: number): readonly number[] {
  const [low, high] = [Math.max(100, Math.floor(min)), Math.min(599, Math.floor(max))];
  return Array.from({ length: Math.max(0, high - low + 1) }, (_, index) => low + index);
}

/** One budget a service: the profile's own, else the first that a route has. */
function budgetOf(spec: Fields, rules: readonly Rule[], report: Report): Fields | undefined {
  const own = fieldsOf(spec["retryBudget"]);
  const budget =
    Object.keys(own).length > 0 ? own : rules.map((rule) => rule.budget).find((item) => item !== undefined);
  if (budget === undefined) return undefined;
  const ratio = numberOf(budget["retryRatio"]) ?? numberOf(budget["retryratio"]) ?? 0.2;
  const least = numberOf(budget["minRetriesPerSecond"]);
  if (least !== undefined || budget["ttl"] !== undefined) {
    report(
      "spec.retryBudget",
      "is counted over the requests that are under way, as Envoy counts; ttl has no effect, and minRetriesPerSecond is the least number of retries at a time.",
    );
  }
  return {
    percent: { value: Math.round(ratio * 10_000) / 100 },
    ...(least === undefined ? {} : { minRetryConcurrency: least }),
  };
}
