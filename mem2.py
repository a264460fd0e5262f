class E2(gdb.Breakpoint):
    def stop(self): return True
E2('Async_Notify')
gdb.execute('continue')
print('TOTAL',tot)
for k,v in agg.most_common(45): print(v,cnt[k],k)
gdb.execute('detach')
