/** Kubernetes Secrets and ConfigMaps → Envoy's Secrets, for a proxy that may have them. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { MeshObject } from "../model/object.ts";
import { type Fields, fieldsOf, stringOf } from "../model/read-fields.ts";
import { accessFault, type ProvenIdentity } from "./credential-access.ts";
import { type CredentialName, parseCredentialName, withoutCaSuffix } from "./credential-names.ts";
import { compact, type JsonObject } from "./json.ts";
import { memoized } from "./memo.ts";
import { report, type View } from "./view.ts";

/** What is not there, not allowed, or no certificate is left out, with a finding: others are not concerned. */
export function secretResources(
  view: View,
  names: readonly string[],
  identity: ProvenIdentity | undefined,
): readonly JsonObject[] {
  return names.map((resource) => secretResource(view, resource, identity)).filter((resource) => resource !== undefined);
}

function secretResource(view: View, resource: string, identity: ProvenIdentity | undefined): JsonObject | undefined {
  const credential = parseCredentialName(resource, view.proxy.namespace);
  if (credential === undefined) {
    return refuse(view, resource, "it is no name of a Secret that is served here; write kubernetes://[namespace/]name");
  }
  const fault = accessFault(view, resource, credential, identity);
  if (fault !== undefined) return refuse(view, resource, fault);
  const object = objectOf(view, credential);
  if (object === undefined) {
    const kind = credential.kind === "configmap" ? "ConfigMap" : "Secret";
    return refuse(view, resource, `there is no ${kind} ${credential.namespace}/${withoutCaSuffix(credential.name)}`);
  }
  const { fields, problem } = credential.isCa ? authorityOf(object) : certificateOf(object);
  if (fields === undefined) {
    const message = `${problem}; ${view.proxy.name} does not get it, and keeps what it has of it.`;
    report(view, "error", "invalid-secret", object, "", message);
    return undefined;
  }
  return { name: resource, ...fields };
}

function refuse(view: View, resource: string, why: string): undefined {
  const { name, namespace } = view.proxy;
  const message = `${resource} is not served to ${name}.${namespace}: ${why}.`;
  view.problems.push({ code: "secret-not-served", level: "warning", path: "", message, object: `SDS ${resource}` });
  return undefined;
}

/** A Secret of the very name first: a CA may have one of its own, `mutual-cacert`. */
function objectOf({ mesh }: View, { kind, namespace, name, isCa }: CredentialName): MeshObject | undefined {
  const of = (wanted: string): MeshObject | undefined =>
    mesh.object(kind === "configmap" ? "ConfigMap" : "Secret", namespace, wanted);
  return of(name) ?? (isCa ? of(withoutCaSuffix(name)) : undefined);
}

interface Extracted {
  readonly fields?: JsonObject;
  readonly problem?: string;
}

const certificateOf = memoized((object: MeshObject): Extracted => {
  const data = dataOf(object);
  // Generic Secrets name them their own way.
  const [certificate, key] = ["cert", "key"].every((name) => data.has(name))
    ? [data.get("cert"), data.get("key")]
    : [data.get("tls.crt"), data.get("tls.key")];
  if (certificate === undefined || key === undefined) {
    return { problem: `it must have the keys tls.crt and tls.key, or cert and key; it has ${keysOf(data)}` };
  }
  const fault = pairFault(certificate, key);
  if (fault !== undefined) return { problem: fault };
  return {
    fields: {
      tlsCertificate: compact({
        certificateChain: { inlineBytes: certificate.toString("base64") },
        privateKey: { inlineBytes: key.toString("base64") },
        ocspStaple: bytesOf(data.get("tls.ocsp-staple")),
      }),
    },
  };
});

const authorityOf = memoized((object: MeshObject): Extracted => {
  const data = dataOf(object);
  const isGeneric = data.has("cacert");
  const authority = data.get(isGeneric ? "cacert" : "ca.crt");
  if (authority === undefined) return { problem: `it must have the key ca.crt or cacert; it has ${keysOf(data)}` };
  const fault = certificateFault(authority);
  if (fault !== undefined) return { problem: fault };
  return {
    fields: {
      validationContext: compact({
        trustedCa: { inlineBytes: authority.toString("base64") },
        crl: bytesOf(data.get(isGeneric ? "crl" : "ca.crl")),
      }),
    },
  };
});

function bytesOf(value: Buffer | undefined): JsonObject | undefined {
  return value === undefined ? undefined : { inlineBytes: value.toString("base64") };
}

/** `data` is base64; `stringData`, and a ConfigMap's `data`, plain text. Empty values count as absent. */
function dataOf({ kind, raw }: MeshObject): ReadonlyMap<string, Buffer> {
  const data = fieldsOf(raw["data"]);
  const isText = kind === "ConfigMap";
  const result = new Map<string, Buffer>();
  const add = (fields: Fields, encoding: "utf8" | "base64"): void => {
    for (const [key, value] of Object.entries(fields)) {
      const bytes = Buffer.from(stringOf(value) ?? "", encoding);
      if (bytes.length > 0) result.set(key, bytes);
    }
  };
  add(data, isText ? "utf8" : "base64");
  add(fieldsOf(raw[isText ? "binaryData" : "stringData"]), isText ? "base64" : "utf8");
  return result;
}

function keysOf(data: ReadonlyMap<string, unknown>): string {
  return data.size === 0 ? "none" : [...data.keys()].join(", ");
}

function certificateFault(pem: Buffer): string | undefined {
  try {
    void new X509Certificate(pem);
    return undefined;
  } catch {
    return "its certificate is no PEM certificate";
  }
}

function pairFault(certificate: Buffer, key: Buffer): string | undefined {
  const fault = certificateFault(certificate);
  if (fault !== undefined) return fault;
  try {
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
      ? undefined
      : "its private key is not that of its certificate";
  } catch {
    return "its private key can't be read";
  }
}
