import { beforeAll, describe, expect, test } from "vitest";
import { contextTag, constructedContextTag, der, sequence } from "./der.ts";
import { validatePath } from "./path-validation.ts";
import {
  nameConstraints,
  NOW_MS,
  type TestCertificate,
  testIntermediate,
  type TestIssuer,
  testLeaf,
  testRoot,
  unknownExtension,
} from "./test-certificates.ts";

let root: TestIssuer;

beforeAll(async () => {
  root = await testRoot();
});

function reasonFor(chain: readonly TestIssuer[], anchors: readonly TestIssuer[] = [root], nowMs = NOW_MS): string {
  const [leaf, ...rest] = chain.map(({ certificate }) => certificate);
  if (leaf === undefined) throw new Error("no leaf");
  const result = validatePath(
    leaf,
    rest,
    anchors.map(({ certificate }) => certificate),
    nowMs,
  );
  return result.kind === "valid" ? "" : result.reason;
}

const subtree = (tag: number, text: string) => sequence(der(contextTag(tag), Buffer.from(text)));
const permitted = (...trees: readonly Buffer[]) => nameConstraints(sequence(der(constructedContextTag(0), ...trees)));
const excluded = (...trees: readonly Buffer[]) => nameConstraints(sequence(der(constructedContextTag(1), ...trees)));

async function constrained(extra: TestCertificate["extra"], leaf: TestCertificate = {}): Promise<string> {
  const middle = await testIntermediate(root, extra === undefined ? {} : { extra });
  return reasonFor([await testLeaf(middle, leaf), middle]);
}

describe("certification path (RFC 5280 §6)", () => {
  test("a chain over intermediates in any order holds, with the root in it or not", async () => {
    const upper = await testIntermediate(root, { subject: "CN=upper" });
    const lower = await testIntermediate(upper, { subject: "CN=lower" });
    const leaf = await testLeaf(lower);
    expect(reasonFor([leaf, lower, upper])).toBe("");
    expect(reasonFor([leaf, upper, lower])).toBe("");
    expect(reasonFor([leaf, upper, lower, root])).toBe("");
    expect(reasonFor([leaf, lower])).toContain("is not signed by a certificate of the chain or the trust bundle");
  });

  test("an intermediate in the bundle is an anchor of its own", async () => {
    const middle = await testIntermediate(root);
    expect(reasonFor([await testLeaf(middle)], [middle])).toBe("");
  });

  test("of two roots with the same name the right one is found, as while one replaces the other", async () => {
    const next = await testRoot();
    expect(reasonFor([await testLeaf(next)], [root, next])).toBe("");
    expect(reasonFor([await testLeaf(root)], [root, next])).toBe("");
  });

  test.each([
    ["leaf", 0],
    ["intermediate", 1],
    ["root", 2],
  ])("an expired or future %s breaks it", async (_, which) => {
    const at = (index: number, times: TestCertificate): TestCertificate => (index === which ? times : {});
    for (const [times, reason] of [
      [{ notAfterMs: NOW_MS - 1000 }, "expired at 2025-12-31T23:59:59.000Z"],
      [{ notBeforeMs: NOW_MS + 1000 }, "is not valid before 2026-01-01T00:00:01.000Z"],
    ] as const) {
      const top = await testRoot(at(2, times));
      const middle = await testIntermediate(top, at(1, times));
      expect(reasonFor([await testLeaf(middle, at(0, times)), middle], [top])).toContain(reason);
    }
  });

  test("a path length is kept, self-issued certificates not counted", async () => {
    const short = await testRoot({ pathLength: 0 });
    const middle = await testIntermediate(short);
    const again = await testIntermediate(short, { subject: short.subject });
    expect(reasonFor([await testLeaf(short)], [short])).toBe("");
    expect(reasonFor([await testLeaf(middle), middle], [short])).toContain(
      "allows 0 intermediate certificates below it, there are 1",
    );
    expect(reasonFor([await testLeaf(again), again], [short])).toBe("");
  });

  test("a leaf cannot sign another leaf", async () => {
    const first = await testLeaf(root, { subject: "CN=first" });
    const second = await testLeaf(first);
    expect(reasonFor([second, first])).toContain("signs certificates but is no CA");
  });

  test("a critical extension that is not understood breaks it, another does not", async () => {
    expect(reasonFor([await testLeaf(root, { extra: [unknownExtension(true)] })])).toContain(
      "critical extension 1.2.3.4.5",
    );
    expect(reasonFor([await testLeaf(root, { extra: [unknownExtension(false)] })])).toBe("");
  });

  test("name constraints on URIs hold for the host of the SPIFFE ID", async () => {
    expect(await constrained([permitted(subtree(6, "example.org"))])).toBe("");
    expect(await constrained([permitted(subtree(6, "other.org"), subtree(6, "example.org"))])).toBe("");
    expect(await constrained([permitted(subtree(6, "other.org"))])).toContain(
      "is not permitted, by the name constraints of",
    );
    expect(await constrained([permitted(subtree(6, ".example.org"))])).toContain("is not permitted");
    expect(await constrained([excluded(subtree(6, "example.org"))])).toContain("is excluded");
    expect(await constrained([excluded(subtree(6, "sub.example.org"))])).toBe("");
  });

  test("name constraints on DNS names hold for the name and all below it", async () => {
    const web = { dnsNames: ["web.default.svc"] };
    expect(await constrained([permitted(subtree(2, "svc"))], web)).toBe("");
    expect(await constrained([permitted(subtree(2, "vc"))], web)).toContain("is not permitted");
    expect(await constrained([excluded(subtree(2, "default.svc"))], web)).toContain("is excluded");
  });

  test("name constraints of another kind are refused, not skipped", async () => {
    expect(await constrained([excluded(subtree(1, "example.org"))])).toContain("names of kind 1 are not supported");
  });

  test("constraints of the root hold too", async () => {
    const top = await testRoot({ extra: [permitted(subtree(6, "other.org"))] });
    expect(reasonFor([await testLeaf(top)], [top])).toContain("is not permitted");
  });

  test("certificates that all could have signed each other end the search soon", async () => {
    const keys = root.keys;
    const ring: TestIssuer[] = [];
    for (let index = 0; index < 12; index++) {
      ring.push(
        await testIntermediate(
          { ...root, subject: "CN=ring" },
          { subject: "CN=ring", keys, uris: [`spiffe://r${index}`] },
        ),
      );
    }
    const leaf = await testLeaf({ ...root, subject: "CN=ring" });
    const before = process.cpuUsage().user;
    expect(reasonFor([leaf, ...ring], [])).not.toBe("");
    expect(process.cpuUsage().user - before).toBeLessThan(500_000);
  });
});
