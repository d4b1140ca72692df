// jsforce: REST, SOQL, collections, Bulk 1.0 and 2.0, streaming. Prints what it saw as one line of JSON.
import jsforce from 'jsforce';
import extension from 'jsforce/lib/api/streaming/extension.js';

const org = JSON.parse(process.argv[2]);
const seen = {};
const connection = new jsforce.Connection({
    instanceUrl: org.instance_url, accessToken: org.access_token, version: '66.0',
});

// sign in by SOAP with a password, as it does without a connected app
const signedIn = new jsforce.Connection({ loginUrl: org.instance_url, version: '64.0' }); // the last that has login()
const user = await signedIn.login(org.username, org.password);
seen.login = { organization: user.organizationId.length, query: (await signedIn.query('SELECT Id FROM User')).totalSize };

// and by OAuth
const oauth = new jsforce.Connection({
    instanceUrl: org.instance_url, loginUrl: org.instance_url, version: '66.0',
    oauth2: { clientId: org.client_id, clientSecret: org.client_secret, loginUrl: org.instance_url },
});
await oauth.authorize({ grant_type: 'client_credentials' });
seen.identity = (await oauth.identity()).username;

seen.created = await connection.sobject('Account').create([
    { Name: 'Alpha', External_Key__c: 'A-1' }, { Name: 'Beta', External_Key__c: 'A-2' }, { Phone: 'no name' },
]);
seen.upserted = await connection.sobject('Account').upsert({ Name: 'Alpha 2', External_Key__c: 'A-1' }, 'External_Key__c');
seen.retrieved = (await connection.sobject('Account').retrieve(seen.created[0].id)).Name;
seen.found = await connection.sobject('Account').find({ Name: { $like: 'Alpha%' } }, 'Id, Name').limit(5);
seen.described = (await connection.sobject('Order').describe()).fields.length > 40;
seen.global = (await connection.describeGlobal()).sobjects.some((item) => item.name === 'Order');
try {
    await connection.query('SELECT Nothing FROM Account');
} catch (error) {
    seen.refused = { name: error.errorCode, message: error.message };
}
seen.paged = [];
await connection.sobject('Account').create(
    Array.from({ length: 450 }, (_, number) => ({ Name: `Many ${number}` })), { allowRecursive: true },
);
const all = await connection.query("SELECT Name FROM Account WHERE Name LIKE 'Many%'", {
    autoFetch: true, maxFetch: 1000, headers: { 'Sforce-Query-Options': 'batchSize=200' },
});
seen.paged = all.records.length;
seen.limits = (await connection.limits()).DailyApiRequests.Max > 0;

// Bulk API 2.0
const job = connection.bulk2.createJob({ operation: 'insert', object: 'Account' });
await job.open();
await job.uploadData([
    { Name: 'Bulk 1', Phone: '1' }, { Name: 'Bulk 2', Phone: '2' }, { Name: '', Phone: '3' },
]);
await job.close();
await job.poll(50, 20000);
const results = await job.getAllResults();
seen.bulk2 = {
    good: results.successfulResults.length, bad: results.failedResults.map((row) => row.sf__Error),
};
const queried = await connection.bulk2.query("SELECT Id, Name FROM Account WHERE Name LIKE 'Bulk%'");
seen.bulk2query = (await queried.toArray()).map((row) => row.Name).sort();

// Bulk API 1.0: batches in CSV under jobs in XML
connection.bulk.pollInterval = 50;
connection.bulk.pollTimeout = 20000;
seen.bulk1 = await connection.bulk.load('Account', 'upsert', { extIdField: 'External_Key__c' }, [
    { External_Key__c: 'B-1', Name: 'Classic 1' }, { External_Key__c: 'B-2', Name: '' },
]);
const classic = await connection.bulk.query("SELECT Name FROM Account WHERE Name LIKE 'Classic%'");
seen.bulk1query = (await classic.toArray()).map((row) => row.Name);

// streaming by CometD: what comes, and what was there before
const heard = (channel, replay, wanted) => new Promise((resolve) => {
    const events = [];
    const from = new extension.Replay(channel, replay);
    const stream = connection.streaming.createClient([from]);
    stream.subscribe(channel, (event) => {
        events.push(event);
        if (events.length === wanted) resolve(stream.disconnect().then(() => events, () => events));
    }).then(() => act(channel));
});
let act = async () => {
    seen.published = await connection.sobject('Order_Action__e').create({ Order_Number__c: '1', Action__c: 'hold' });
    await connection.sobject('Account').update({ Id: seen.created[0].id, Phone: '7', Website: null });
};
seen.live = (await heard('/event/Order_Action__e', -1, 1)).map((event) => event.payload);
act = () => {};
seen.kept = (await heard('/event/Order_Action__e', -2, 1)).map((event) => event.payload.Order_Number__c);
seen.changes = (await heard('/data/AccountChangeEvent', -2, 1))[0].payload.ChangeEventHeader.changeType;

console.log(JSON.stringify(seen));
process.exit(0);
