import { describe, expect, test } from "vitest";
import { expandHost, hostsMatch, HostTable, isSubsetOf } from "./hosts.ts";

describe("host names", () => {
  test("rule 1: only a name without a dot belongs to the object's namespace", () => {
    const expand = (host: string): string => expandHost(host, "market", "cluster.local");
    expect(expand("fruit")).toBe("fruit.market.svc.cluster.local");
    for (const literal of ["fruit.depot", "*", "*.example", "10.0.0.1", "fd00::1"])
      expect(expand(literal)).toBe(literal);
  });
  test("rule 2: a wildcard matches by suffix, on either side, but not the bare domain", () => {
    expect(hostsMatch("*.com", "a.b.com")).toBe(true);
    expect(hostsMatch("a.b.com", "*.com")).toBe(true);
    expect(hostsMatch("*.foo.com", "foo.com")).toBe(false);
    expect(hostsMatch("*", "anything")).toBe(true);
    expect(hostsMatch("*.foo.com", "*.com")).toBe(true);
    expect(hostsMatch("*.foo.com", "*.bar.com")).toBe(false);
  });
  test("rule 2: being a subset is not symmetric", () => {
    expect(isSubsetOf("*.foo.com", "*.com")).toBe(true);
    expect(isSubsetOf("*.com", "*.foo.com")).toBe(false);
    expect(isSubsetOf("a.com", "a.com")).toBe(true);
    expect(isSubsetOf("*.com", "a.com")).toBe(false);
  });
  test("rule 3: exact before the longest wildcard, and the first of a name stays", () => {
    const table = new HostTable<string>();
    table.add("*.com", "short");
    table.add("*.foo.com", "long");
    table.add("a.foo.com", "exact");
    table.add("a.foo.com", "later");
    expect(table.lookup("a.foo.com")).toBe("exact");
    expect(table.lookup("b.foo.com")).toBe("long");
    expect(table.lookup("b.com")).toBe("short");
    expect(table.lookup("b.org")).toBeUndefined();
    expect(table.lookup("*.foo.com")).toBe("long");
  });
});
