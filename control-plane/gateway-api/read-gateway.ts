/** gateway.networking.k8s.io Gateway, with the defaults that an API server fills in. */
import type { MeshObject } from "../model/object.ts";
import { type Fields, fieldsOf, listOf, numberOf, stringMapOf, stringOf } from "../model/read-fields.ts";

export interface Listener {
  readonly name: string;
  readonly hostname: string | undefined;
  readonly port: number;
  readonly protocol: string;
  readonly tls: ListenerTls | undefined;
  readonly namespaces: { readonly from: string; readonly selector: Fields | undefined };
  readonly allowedKinds: readonly { readonly group: string | undefined; readonly kind: string }[];
}

export interface ListenerTls {
  readonly mode: string;
  readonly certificateRefs: readonly CertificateRef[];
  readonly options: Readonly<Record<string, string>>;
}

export interface CertificateRef {
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
}

export interface GatewayModel {
  readonly object: MeshObject;
  readonly name: string;
  readonly namespace: string;
  readonly className: string;
  readonly listeners: readonly Listener[];
  readonly addresses: readonly { readonly type: string; readonly value: string }[];
  /** `tls.frontend`: how clients prove who they are. */
  readonly frontend: Fields;
}

export function gatewayFrom(object: MeshObject): GatewayModel {
  const spec = fieldsOf(object.spec);
  return {
    object,
    name: object.metadata.name,
    namespace: object.metadata.namespace,
    className: stringOf(spec["gatewayClassName"]) ?? "",
    listeners: listOf(spec["listeners"]).map((item) => listenerFrom(fieldsOf(item))),
    addresses: listOf(spec["addresses"]).map((item) => {
      const { type, value } = fieldsOf(item);
      return { type: stringOf(type) ?? "IPAddress", value: stringOf(value) ?? "" };
    }),
    frontend: fieldsOf(fieldsOf(spec["tls"])["frontend"]),
  };
}

function listenerFrom(fields: Fields): Listener {
  const allowed = fieldsOf(fields["allowedRoutes"]);
  const namespaces = fieldsOf(allowed["namespaces"]);
  return {
    name: stringOf(fields["name"]) ?? "",
    hostname: stringOf(fields["hostname"]) || undefined,
    port: numberOf(fields["port"]) ?? 0,
    protocol: stringOf(fields["protocol"]) ?? "",
    tls: fields["tls"] === undefined ? undefined : tlsFrom(fieldsOf(fields["tls"])),
    namespaces: {
      from: stringOf(namespaces["from"]) ?? "Same",
      selector: namespaces["selector"] === undefined ? undefined : fieldsOf(namespaces["selector"]),
    },
    allowedKinds: listOf(allowed["kinds"]).map((item) => {
      const { group, kind } = fieldsOf(item);
      return { group: stringOf(group), kind: stringOf(kind) ?? "" };
    }),
  };
}

function tlsFrom(fields: Fields): ListenerTls {
  return {
    mode: stringOf(fields["mode"]) ?? "Terminate",
    certificateRefs: listOf(fields["certificateRefs"]).map(certificateRefFrom),
    options: stringMapOf(fields["options"]),
  };
}

export function certificateRefFrom(value: unknown): CertificateRef {
  const { group, kind, name, namespace } = fieldsOf(value);
  return {
    group: stringOf(group) ?? "",
    kind: stringOf(kind) ?? "Secret",
    name: stringOf(name) ?? "",
    namespace: stringOf(namespace),
  };
}
