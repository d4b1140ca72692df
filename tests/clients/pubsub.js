// salesforce-pubsub-api-client: subscribe, publish, change events, replay. Prints what it saw as one line of JSON.
import PubSubApiClient from 'salesforce-pubsub-api-client';

const org = JSON.parse(process.argv[2]);
const quiet = { debug() {}, info() {}, warn() {}, error(...words) { console.error(...words); } };
const connect = async () => {
    const client = new PubSubApiClient({
        authType: 'oauth-client-credentials',
        loginUrl: org.instance_url,
        clientId: org.client_id,
        clientSecret: org.client_secret,
        pubSubEndpoint: org.pubsub_endpoint,
        rejectUnauthorizedSsl: false, // it brings its own authorities, and takes no other
    }, quiet);
    await client.connect();
    return client;
};

const seen = { actions: [], changes: [], replayed: [], errors: [] };
const client = await connect();

const heard = (list, wanted) => {
    let done;
    const all = new Promise((resolve) => { done = resolve; });
    const callback = (subscription, type, data) => {
        if (type === 'event') list.push(data);
        if (type === 'error') seen.errors.push(String(data));
        if (list.length >= wanted) done();
    };
    return { callback, all };
};

const actions = heard(seen.actions, 2);
const changes = heard(seen.changes, 2);
await client.subscribe('/event/Order_Action__e', actions.callback, 2);
await client.subscribe('/data/AccountChangeEvent', changes.callback, 10);
await new Promise((resolve) => setTimeout(resolve, 500)); // until both streams are open

const stamp = { CreatedDate: Date.now(), CreatedById: org.user_id };
const nothing = { Reason__c: null, Requested_By__c: null };
const published = [];
for (const number of ['1001', '1002']) {
    const result = await client.publish('/event/Order_Action__e', {
        ...stamp, ...nothing, Order_Number__c: { string: number }, Action__c: { string: 'hold' },
    });
    published.push(result.replayId);
}

const rest = async (method, path, body) => {
    const answer = await fetch(`${org.instance_url}/services/data/v66.0/${path}`, {
        method,
        headers: { Authorization: `Bearer ${org.access_token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
    });
    return answer.status === 204 ? null : answer.json();
};
const made = await rest('POST', 'sobjects/Account', { Name: 'Köhler', BillingCity: 'Münster' });
await rest('PATCH', `sobjects/Account/${made.id}`, { BillingCity: 'Köln', Phone: '1' });
await Promise.all([actions.all, changes.all]);

const replayed = heard(seen.replayed, 1);
const later = await connect();
await later.subscribeFromReplayId('/event/Order_Action__e', replayed.callback, 1, published[0]);
await replayed.all;

client.close();
later.close();
console.log(JSON.stringify({ published, account: made.id, ...seen }));
process.exit(0);
