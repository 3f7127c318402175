import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";

import { answer, createMagnet, newEvent, ProblemError } from "../src/index.js";

const url = process.env["MAGNET_URL"];
const [user, item] = [process.env["MAGNET_USER"] ?? "1", process.env["MAGNET_ITEM"] ?? "50"];

/** The address of a server that answers by itself, for what a good service never does. */
async function answering(
  context: TestContext,
  reply: (response: ServerResponse, request: IncomingMessage, number: number) => void,
): Promise<string> {
  let number = 0;
  const server = createServer((request, response) => reply(response, request, (number += 1)));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  context.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("a running service", { skip: url ? false : "MAGNET_URL names no service" }, async (t) => {
  const magnet = createMagnet();
  const path = "/v1/users/{user_id}/recommendations";

  await t.test("answers with a list and its reasons", async () => {
    const list = await answer(magnet.GET(path, { params: { path: { user_id: user }, query: { k: 3 } } }));
    assert.deepEqual(list.items.map((each) => each.rank), [1, 2, 3]);
    assert.ok(list.items[0]?.reasons.length);
    const session = await answer(magnet.POST("/v1/recommendations", { body: { session_items: [item], k: 2 } }));
    assert.equal(session.items.length, 2);
  });

  await t.test("explains an item", async () => {
    const params = { path: { user_id: user, item_id: item } };
    const why = await answer(magnet.GET("/v1/users/{user_id}/explanations/{item_id}", { params }));
    assert.equal(why.item_id, item);
    assert.ok(why.experts.length);
  });

  await t.test("counts an event once, however often it is sent", async () => {
    const events = [newEvent({ user_id: "visitor-ts", item_id: item, type: "like" })];
    const first = await answer(magnet.POST("/v1/feedback", { body: { events } }));
    assert.equal(first.accepted, 1);
    await answer(magnet.POST("/v1/feedback", { body: { events } }));
    const known = await answer(magnet.GET("/v1/users/{user_id}", { params: { path: { user_id: "visitor-ts" } } }));
    assert.deepEqual(known.events.map((each) => each.item_id), [item]);
  });

  await t.test("says what is wrong", async () => {
    const asked = magnet.GET(path, { params: { path: { user_id: user }, query: { k: 1_000_000 } } });
    await assert.rejects(answer(asked), (error: unknown) => {
      assert.ok(error instanceof ProblemError);
      assert.equal(error.status, 422);
      assert.match(error.message, /1000000/);
      assert.ok(error.problem?.request_id);
      return true;
    });
  });
});

test("a service that is busy is asked again, with the key", async (context) => {
  const keys: (string | undefined)[] = [];
  const busy = await answering(context, (response, request, number) => {
    keys.push(request.headers.authorization);
    response.writeHead(number < 3 ? 503 : 200, { "content-type": "application/json", "retry-after": "0" });
    response.end(JSON.stringify({ events: request.method }));
  });
  const magnet = createMagnet({ url: busy, apiKey: " secret\n" });
  await answer(magnet.POST("/v1/feedback", { body: { events: [] } }));
  assert.deepEqual(keys, ["Bearer secret", "Bearer secret", "Bearer secret"]);
});

test("a service that wants a long wait is not asked again", async (context) => {
  let asked = 0;
  const busy = await answering(context, (response, _request, number) => {
    asked = number;
    response.writeHead(503, { "retry-after": "3600" }).end();
  });
  await assert.rejects(answer(createMagnet({ url: busy }).GET("/v1/model")), { status: 503 });
  assert.equal(asked, 1);
});

test("a service that hangs is given up in time", async (context) => {
  const hanging = await answering(context, () => {});
  const magnet = createMagnet({ url: hanging, timeoutMs: 50, attempts: 2 });
  await assert.rejects(answer(magnet.GET("/v1/model")), { name: "TimeoutError" });
});
