/** Routes of the Gateway API → VirtualServices, and what their status says. */
import type { GatewayApiStatus } from "../model/gateway-status.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, stringsOf } from "../model/read-fields.ts";
import type { HttpRule, L4Match, TcpRule, TlsRule, VirtualServiceSpec } from "../translate/spec/virtual-service.ts";
import { hostsMatch } from "../translate/hosts.ts";
import { type Attachment, attachmentsOf, type MeshParent, type RouteParents, servesHost } from "./attachments.ts";
import type { StatusError } from "./conditions.ts";
import { generatedObject } from "./generated.ts";
import { type ConvertedRules, convertHttpRules } from "./http-rule.ts";
import { convertTcpRules, convertTlsRules } from "./l4-rules.ts";
import { internalRouteName, ROUTE_SEMANTICS_ANNOTATION, SEMANTICS_GATEWAY } from "./names.ts";
import { routeStatus } from "./route-status.ts";

/** HTTP rules of one route for one host, which are merged with those of others for the same `key`. */
export interface HttpPart {
  /** `namespace/gateway/host`, or of a Service `namespace[/port]/host`. */
  readonly key: string;
  readonly route: MeshObject;
  readonly spec: VirtualServiceSpec & { readonly http: readonly HttpRule[] };
}

export interface RouteResult {
  readonly attachments: readonly Attachment[];
  readonly status: GatewayApiStatus;
  readonly http: readonly HttpPart[];
  /** Those of TCPRoutes and TLSRoutes. */
  readonly generated: readonly MeshObject<VirtualServiceSpec>[];
}

export const ROUTE_ANNOTATIONS: Readonly<Record<string, string>> = { [ROUTE_SEMANTICS_ANNOTATION]: SEMANTICS_GATEWAY };

export function convertRoute(mesh: MeshIndex, parents: RouteParents, route: MeshObject): RouteResult {
  const attachments = attachmentsOf(mesh, parents, route);
  switch (route.kind) {
    case "TCPRoute":
      return convertWith(mesh, route, attachments, convertTcpRules, tcpVirtualServices);
    case "TLSRoute":
      return convertWith(mesh, route, attachments, convertTlsRules, tlsVirtualServices);
    default:
      return convertHttp(mesh, route, attachments);
  }
}

type Convert<Rule> = (context: { mesh: MeshIndex; route: MeshObject; enforcesGrants: boolean }) => ConvertedRules<Rule>;

/** In the mesh and at gateways the same rule may mean different things: what it may refer to. */
function convertBoth<Rule>(
  mesh: MeshIndex,
  route: MeshObject,
  attachments: readonly Attachment[],
  convert: Convert<Rule>,
): { readonly of: (attachment: Attachment) => ConvertedRules<Rule>; readonly status: GatewayApiStatus } {
  const nothing: ConvertedRules<Rule> = { rules: [], error: undefined };
  const needs = (kind: Attachment["parent"]["kind"]): boolean => attachments.some(({ parent }) => parent.kind === kind);
  const inMesh = needs("mesh") ? convert({ mesh, route, enforcesGrants: false }) : nothing;
  const atGateways = needs("listener") ? convert({ mesh, route, enforcesGrants: true }) : nothing;
  const of = ({ parent }: Attachment): ConvertedRules<Rule> => (parent.kind === "mesh" ? inMesh : atGateways);
  const errorOf = (attachment: Attachment): StatusError | undefined => of(attachment).error;
  return { of, status: { parents: routeStatus(route, attachments, errorOf) } };
}

function convertHttp(mesh: MeshIndex, route: MeshObject, attachments: readonly Attachment[]): RouteResult {
  const { of, status } = convertBoth(mesh, route, attachments, convertHttpRules);
  const hostnames = hostnamesOf(route);
  const http: HttpPart[] = [];
  for (const attachment of accepted(attachments)) {
    const { rules } = of(attachment);
    if (rules.length === 0) continue;
    const { parent, ref } = attachment;
    if (parent.kind === "listener") {
      const gateway = parent.listener.internalName;
      for (const host of hostnames.filter((name) => servesHost(parent, name))) {
        http.push({ key: `${gateway}/${host}`, route, spec: { hosts: [host], gateways: [gateway], http: rules } });
      }
      continue;
    }
    const own = ref.port === undefined ? rules : rules.map((rule) => onPort(rule, ref.port ?? 0));
    const prefix = ref.port === undefined ? "" : `/${ref.port}`;
    for (const host of parent.hosts) {
      const spec = { ...meshSpec(route, parent, host), http: own };
      http.push({ key: `${route.metadata.namespace}${prefix}/${host}`, route, spec });
    }
  }
  return { attachments, status, http, generated: [] };
}

function onPort<Rule extends { readonly match?: readonly L4Match[] }>(rule: Rule, port: number): Rule {
  const matches = rule.match ?? [];
  return { ...rule, match: matches.length === 0 ? [{ port }] : matches.map((match) => ({ ...match, port })) };
}

/** A route of the Service's own namespace is for all who call it, one of another namespace for its own alone. */
function meshSpec(route: MeshObject, { namespace }: MeshParent, host: string): VirtualServiceSpec {
  const isConsumer = namespace !== route.metadata.namespace;
  return { hosts: [host], gateways: ["mesh"], ...(isConsumer && { exportTo: ["."] }) };
}

function convertWith<Rule extends TcpRule | TlsRule>(
  mesh: MeshIndex,
  route: MeshObject,
  attachments: readonly Attachment[],
  convert: Convert<Rule>,
  build: (route: MeshObject, attachment: Attachment, rules: readonly Rule[]) => readonly VirtualServiceSpec[],
): RouteResult {
  const { of, status } = convertBoth(mesh, route, attachments, convert);
  const specs = accepted(attachments).flatMap((attachment) => {
    const { rules } = of(attachment);
    return rules.length === 0 ? [] : build(route, attachment, rules);
  });
  const protocol = route.kind === "TCPRoute" ? "tcp" : "tls";
  const generated = specs.map((spec, index) =>
    generatedObject({
      kind: "VirtualService",
      name: internalRouteName(route.metadata.name, protocol, index),
      namespace: route.metadata.namespace,
      origins: [route],
      annotations: ROUTE_ANNOTATIONS,
      spec,
    }),
  );
  return { attachments, status, http: [], generated };
}

/** A listener has one TCPRoute, whatever the host. */
function tcpVirtualServices(
  route: MeshObject,
  { parent, ref }: Attachment,
  rules: readonly TcpRule[],
): readonly VirtualServiceSpec[] {
  if (parent.kind === "listener") return [{ hosts: ["*"], gateways: [parent.listener.internalName], tcp: rules }];
  const { port } = ref;
  const tcp = port === undefined ? rules : rules.map((rule) => onPort(rule, port));
  return parent.hosts.map((host) => ({ ...meshSpec(route, parent, host), tcp }));
}

/** In the mesh the SNI is one of the route's hostnames that the Service has, or its own name. */
function tlsVirtualServices(
  route: MeshObject,
  { parent, ref }: Attachment,
  rules: readonly TlsRule[],
): readonly VirtualServiceSpec[] {
  if (parent.kind === "listener") {
    const gateways = [parent.listener.internalName];
    return hostnamesOf(route).map((host) => ({ hosts: [host], gateways, tls: rules }));
  }
  return parent.hosts.map((host) => {
    const tls = rules.map((rule) => ({
      ...rule,
      match: (rule.match ?? []).map((match) => ({
        ...match,
        sniHosts: ownSnis(match.sniHosts ?? [], parent.hosts, host),
        ...(ref.port !== undefined && { port: ref.port }),
      })),
    }));
    return { ...meshSpec(route, parent, host), tls };
  });
}

function ownSnis(written: readonly string[], hosts: readonly string[], host: string): readonly string[] {
  const wanted = written.length === 1 && written[0] === "*" ? hosts : written;
  return wanted.length > 1 ? wanted.filter((name) => hostsMatch(host, name)) : wanted;
}

/** In the order of the parents' names, so that the result does not depend on the order of the references. */
function accepted(attachments: readonly Attachment[]): readonly Attachment[] {
  const nameOf = ({ parent }: Attachment): string => (parent.kind === "mesh" ? "mesh" : parent.listener.internalName);
  return attachments
    .filter(({ denied }) => denied === undefined)
    .toSorted((one, other) => (nameOf(one) < nameOf(other) ? -1 : Number(nameOf(one) > nameOf(other))));
}

/** Without hostnames a route takes every host. */
function hostnamesOf(route: MeshObject): readonly string[] {
  const hostnames = stringsOf(fieldsOf(route.spec)["hostnames"]);
  return hostnames.length === 0 ? ["*"] : hostnames;
}
